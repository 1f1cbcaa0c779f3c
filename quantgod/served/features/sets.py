"""All feature sets together: a matrix of 112 columns, and how much past a row of it needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from . import book, candle, indicator

Floats = npt.NDArray[np.float64]

SETS = {"book": book, "candle": candle, "indicator": indicator}
NAMES = tuple(name for one in SETS.values() for name in one.NAMES)
REACH = max(one.REACH for one in SETS.values())
VERSION = "book_candle_indicator/1"
"""Name and version of this matrix; the version rises whenever a formula changes."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return (rows, 112) of a stretch; the first `REACH - 1` rows are not all there."""
    return np.hstack([one.compute(columns) for one in SETS.values()])
