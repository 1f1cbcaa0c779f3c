"""Eleven statistics of returns, and of the close among those before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import log_returns, table
from ...rolling import Floats, ratio, rolling
from ...technical import autocorrelation, skewness
from .measures import band, efficiency

MOMENTS = (30, 90)
SCORES = (20, 60, 200)

NAMES = (
    *(f"skew_{rows}" for rows in MOMENTS), *(f"kurt_{rows}" for rows in MOMENTS),
    *(f"z_{rows}" for rows in SCORES), "ac1_60", "ac2_60", "tail_60", "eff_30",
)  # fmt: skip
NEEDS = ("close",)
REACH = 200


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 11)."""
    close = columns["close"]
    returns = log_returns(close)
    found = {
        **{f"skew_{rows}": rolling(returns, rows, skewness) for rows in MOMENTS},
        **{f"kurt_{rows}": rolling(returns, rows, _kurtosis) for rows in MOMENTS},
        **{f"z_{rows}": ratio(*band(close, rows)) for rows in SCORES},
        "ac1_60": rolling(returns, 60, autocorrelation),
        "ac2_60": rolling(returns, 60, lambda window: autocorrelation(window, 2)),
        "tail_60": rolling(returns, 60, _tails),
        "eff_30": efficiency(returns, 30),
    }
    return table(found, NAMES, REACH, len(close))


def _kurtosis(window: Floats) -> Floats:
    """Return what the kurtosis has beyond a normal distribution's 3."""
    away = np.square(window - window.mean(axis=1, keepdims=True))
    square = np.square(away.mean(axis=1))
    return ratio(np.square(away).mean(axis=1) - 3 * square, square)


def _tails(window: Floats) -> Floats:
    """Return how much longer the upper tail is than the lower, by the tenths at either end."""
    ordered = np.sort(window, axis=1)
    end = window.shape[1] // 10
    low, high = ordered[:, end - 1], ordered[:, -end]
    return ratio(low + high - 2 * np.median(ordered, axis=1), high - low)
