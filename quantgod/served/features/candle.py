"""Twenty-five features of a minute's candle among those before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..rolling import Floats, before, deviation, highest, log_ratio, lowest, mean, ratio, rolling
from ..technical import autocorrelation, garman_klass, parkinson, place, skewness
from .scale import log_returns, newest, sigma_of, table

RETURNS = (1, 3, 5, 15, 30, 60)
NAMES = (
    *(f"ret_{minutes}" for minutes in RETURNS),
    "body_r", "upper_r", "lower_r", "in_prev", "range_rel", "gap_open", "pos_15", "pos_60",
    "from_high", "from_low", "vol_5_60", "vol_60_240", "parkinson_15", "garman_15", "vol_sec",
    "skew_60", "ac1_60", "eff_15", "up_share_15",
)  # fmt: skip
NEEDS = ("open", "high", "low", "close", "second_deviation")
REACH = 241
NEEDED = 61
"""Rows of all but `vol_60_240`."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 25). Logarithms and ratios are bounded; a flat market gives 0."""
    recent = newest(columns, REACH, NEEDED)
    opening, high, low, close = (recent[name] for name in ("open", "high", "low", "close"))
    returns, sigma = log_returns(close), sigma_of(close, 60)
    long_returns = log_returns(columns["close"])
    spread_out = sigma * np.sqrt(60)
    width = high - low
    last = {"high": before(high, 1), "low": before(low, 1), "close": before(close, 1)}
    found = {f"ret_{h}": np.log(close / before(close, h)) / (sigma * np.sqrt(h)) for h in RETURNS}
    found |= {
        "body_r": ratio(close - opening, width),
        "upper_r": ratio(high - np.maximum(opening, close), width),
        "lower_r": ratio(np.minimum(opening, close) - low, width),
        "in_prev": np.clip(ratio(close - last["low"], last["high"] - last["low"]), -2, 3),
        "range_rel": log_ratio(width, mean(width, 60)),
        "gap_open": np.log(opening / last["close"]) / sigma,
        "pos_15": place(close, high, low, 15),
        "pos_60": place(close, high, low, 60),
        "from_high": np.log(close / highest(close, 60)) / spread_out,
        "from_low": np.log(close / lowest(close, 60)) / spread_out,
        "vol_5_60": log_ratio(deviation(returns, 5), deviation(returns, 60)),
        "vol_60_240": log_ratio(deviation(long_returns, 60), deviation(long_returns, 240)),
        "parkinson_15": log_ratio(parkinson(high, low, 15), deviation(returns, 15)),
        "garman_15": log_ratio(garman_klass(recent, 15), deviation(returns, 15)),
        "vol_sec": log_ratio(recent["second_deviation"], deviation(returns, 60)),
        "skew_60": rolling(returns, 60, skewness),
        "ac1_60": rolling(returns, 60, autocorrelation),
        "eff_15": rolling(returns, 15, lambda r: ratio(r.sum(axis=1), np.abs(r).sum(axis=1))),
        "up_share_15": rolling(returns, 15, lambda r: (r > 0).mean(axis=1) - 0.5),
    }
    return table(found, NAMES, REACH, len(columns["close"]))
