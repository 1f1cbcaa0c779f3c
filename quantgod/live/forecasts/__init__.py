"""Forecast candles day by day: catch up, record in a ledger, score what has matured, watch."""
