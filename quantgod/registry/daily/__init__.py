"""Versions that forecast returns of candles."""
