"""Audit a base model's forecasts: meta-features, out-of-fold rows, XGBoost, calibration."""
