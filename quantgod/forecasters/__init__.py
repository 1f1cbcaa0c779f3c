"""Forecasters: networks and baselines."""
