"""Forecasters of candles."""
