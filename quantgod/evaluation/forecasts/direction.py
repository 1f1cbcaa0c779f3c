"""Compare the direction of the mean with that of the outcome."""

from __future__ import annotations

import msgspec
import numpy as np

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.by_date import Dates
from quantgod.evaluation.intervals import Interval


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """How often the sign of the mean is that of the outcome, where neither is 0.

    Attributes:
        accuracy: share of right signs.
        base_rate: share of the direction that came more often: what always saying it would score,
            which only hindsight knows.
        gain: accuracy minus base rate, paired by row.
    """

    accuracy: Interval
    base_rate: float
    gain: Interval


def direction(y: Floats, mean: Floats, dates: Dates) -> Direction | None:
    """Return the score of the direction of means (n,); None if none has one."""
    counted = (mean != 0) & (y != 0)
    accuracy = dates.share((mean > 0) == (y > 0), counted)
    if accuracy is None:
        return None
    up = float(np.mean(y[counted] > 0))
    base = (y > 0) if up >= 0.5 else (y < 0)
    apart = counted * (((mean > 0) == (y > 0)) * 1.0 - base)
    gain = dates.mean(apart / counted.mean())
    return Direction(accuracy=accuracy, base_rate=max(up, 1 - up), gain=gain)
