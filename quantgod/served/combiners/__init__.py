"""How one answer is made of what several members say, one file for each way of combining."""
