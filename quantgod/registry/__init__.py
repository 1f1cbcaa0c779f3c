"""Make, register and promote versions of the served chain."""
