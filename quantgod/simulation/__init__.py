"""The synthetic market, its archives, and the exchange that plays them."""
