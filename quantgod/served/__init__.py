"""What training and serving share to the bit: numpy only, and a copy goes with every version."""
