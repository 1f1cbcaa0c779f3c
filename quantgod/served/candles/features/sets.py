"""All families together: a matrix of 150 columns, and how much past a row of it needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import newest
from ...rolling import Floats
from . import averages, momentum, price, regime, statistics, time, volatility, volume

FAMILIES = {
    "price": price, "averages": averages, "momentum": momentum, "volatility": volatility,
    "volume": volume, "statistics": statistics, "time": time, "regime": regime,
}  # fmt: skip
NAMES = tuple(name for one in FAMILIES.values() for name in one.NAMES)
NEEDS = ("open", "high", "low", "close", "volume", "time")
REACH = max(one.REACH for one in FAMILIES.values())
VERSION = "candles/1"
"""Name and version of this matrix; the version rises whenever a formula changes."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return (rows, 150) of a gap-free stretch; the first `REACH - 1` rows are NaN."""
    whole = np.full((len(columns["close"]), len(NAMES)), np.nan)
    if len(whole) >= REACH:
        parts = [
            one.compute(newest(columns, REACH, one.REACH))[one.REACH - 1 :]
            for one in FAMILIES.values()
        ]
        whole[REACH - 1 :] = np.hstack(parts)
    return whole
