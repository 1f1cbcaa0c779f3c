"""Five features of the state that a market is in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import log_returns, table
from ...rolling import Floats, deviation, highest
from .measures import mean_gap, rank, variance_ratio

NAMES = ("bull", "bear", "high_vol", "stress", "reverting")
NEEDS = ("close",)
REACH = 220
HIGH = 0.6
"""Rank of volatility from which it is high: four fifths of the last 200 rows lie below."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 5): four flags, and how far returns undo each other.

    `bull` is a close above its 200-row average with the 50-row average above it too, and `bear` the
    opposite. `stress` is high volatility a close further below the 60-row high than
    prices usually move in 60 rows.
    """
    close = columns["close"]
    returns = log_returns(close)
    slow, gap = mean_gap(close, 200), mean_gap(close, 200) - mean_gap(close, 50)
    high_vol = rank(deviation(returns, 20), 200) > HIGH
    fallen = -np.log(close / highest(close, 60)) > deviation(returns, 200) * np.sqrt(60)
    found = {
        "bull": (slow > 0) & (gap > 0),
        "bear": (slow < 0) & (gap < 0),
        "high_vol": high_vol,
        "stress": high_vol & fallen,
        "reverting": 1 - variance_ratio(returns, 60, 5),
    }
    return table(found, NAMES, REACH, len(close))
