"""What training and serving share to the bit; a copy goes with every version.

Numpy only, but for `request`, which reads what is posted and takes pandas to it.
"""
