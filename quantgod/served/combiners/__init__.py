"""Combine what several members say: strategies, and weights that move with outcomes."""
