"""The second opinion: meta-features, out-of-fold predictions, XGBoost, calibration."""
