"""Test by perturbation whether any forecast of candles depends on later candles."""

from quantgod.leakage.candles.audit import audit_candles

__all__ = ["audit_candles"]
