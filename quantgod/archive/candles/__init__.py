"""Candles: files in any form, downloads, bars of our own, and the store of all of them."""
