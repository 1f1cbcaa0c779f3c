"""Compare how often outcomes fall where forecasts said they would."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from quantgod.contracts import Booleans, Floats
from quantgod.evaluation.forecasts.by_date import Dates
from quantgod.evaluation.forecasts.outcomes import Distribution
from quantgod.evaluation.intervals import Interval
from quantgod.served.candles.quantiles import COVERAGES, LEVELS

PROMISED: Final = tuple(COVERAGES)
"""Shares of outcomes that central intervals between two of `LEVELS` promise to hold."""
PIT_SHARES: Final = tuple(np.diff([0.0, *LEVELS, 1.0]).tolist())
"""Share of outcomes below the lowest quantile, between each two, and above the highest."""


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """The share of outcomes within a central interval.

    Attributes:
        promised: the share that it promises.
        issued: the share within the intervals as issued.
        raw: the same before calibration; None where nothing calibrates.
    """

    promised: float
    issued: Interval
    raw: Interval | None = None


def coverage(y: Floats, said: Distribution, dates: Dates) -> tuple[Covered, ...]:
    """Return the coverage of each of `PROMISED`, raw and as issued."""
    return tuple(_covered(promised, y, said, dates) for promised in PROMISED)


def within(y: Floats, quantiles: Floats, promised: float) -> Booleans:
    """Return whether each outcome (n,) lies in the central interval of that promise, ends included.

    Raises:
        KeyError: if `COVERAGES` has no such promise.
    """
    low, high = COVERAGES[promised]
    return np.asarray((quantiles[:, low] <= y) & (y <= quantiles[:, high]))


def pit_histogram(y: Floats, quantiles: Floats) -> Floats:
    """Return the shares of outcomes below, between and above the quantiles, (levels + 1,).

    These are the probability integral transforms in the bins that the quantiles tell apart, to be
    compared with `PIT_SHARES`: a hump in the middle is a forecast too wide, a bowl one too narrow.
    """
    place = (y[:, None] > quantiles).sum(axis=1)
    return np.bincount(place, minlength=len(PIT_SHARES)) / max(len(y), 1)


def _covered(promised: float, y: Floats, said: Distribution, dates: Dates) -> Covered:
    issued = _share(y, said.quantiles, promised, dates)
    raw = None if said.raw is None else _share(y, said.raw, promised, dates)
    return Covered(promised=promised, issued=issued, raw=raw)


def _share(y: Floats, quantiles: Floats, promised: float, dates: Dates) -> Interval:
    found = dates.share(within(y, quantiles, promised))
    assert found is not None, "every row counts"
    return found
