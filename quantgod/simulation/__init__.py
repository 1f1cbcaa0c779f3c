"""Simulate a market, its archives, and an exchange that plays them."""
