"""What is known of a coin at each candle's close: features, width and regime, from raw candles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import regimes as told
from . import width
from .features import sets

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NAMES = sets.NAMES
NEEDS = ("open", "high", "low", "close", "volume")
"""Columns of raw candles that are read, beside their open time."""

REACH = max(sets.REACH, width.REACH, told.REACH)
"""Candles without a gap that a row needs, itself included."""


class Rows(NamedTuple):
    """Of each candle of a coin.

    Attributes:
        features: (n, features); NaN where there is too little past.
        sigma: (n,) deviation of a step's log return; NaN where there is too little past.
        regime: (n,); -1 where there is too little past.
        so_far: (n,) candles of the stretch, up to this one, that have all three.
    """

    features: Floats
    sigma: Floats
    regime: Integers
    so_far: Integers


def rows_of(
    time_ms: Integers,
    values: Floats,
    stretch: Integers,
    regimes: Mapping[str, object] | None = None,
) -> Rows:
    """Return what is known at each close; no value depends on more than `REACH` candles.

    Args:
        time_ms: (n,) open times.
        values: (n, 5 or more) in the order of `NEEDS`.
        stretch: (n,) number of the gap-free stretch, rising.
        regimes: how regimes are told; None for the rules as they are.
    """
    count = len(time_ms)
    features, sigma = np.full((count, len(NAMES)), np.nan), np.full(count, np.nan)
    regime, so_far = np.full(count, -1), np.zeros(count, np.int64)
    tell = told.teller(regimes)
    for number in np.unique(stretch):
        own = np.flatnonzero(stretch == number)
        columns = dict(zip(NEEDS, values[own].T, strict=False))
        columns["time"] = time_ms[own].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is no number below
            features[own] = sets.compute(columns)
            sigma[own] = width.sigma(columns["close"])
            regime[own] = tell(columns)
        known = np.isfinite(features[own]).all(axis=1) & np.isfinite(sigma[own])
        so_far[own] = _in_a_row(known & (np.arange(len(own)) >= REACH - 1))
    return Rows(features, sigma, regime, so_far)


def _in_a_row(known: npt.NDArray[np.bool_]) -> Integers:
    """Return how many in a row, up to each place, are true."""
    place = np.arange(len(known))
    return place - np.maximum.accumulate(np.where(known, -1, place))
