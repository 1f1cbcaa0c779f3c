"""Compute what a model gains by abstaining: accuracy of its most confident share of rows.

El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification" (2010). With a
random order of rows the curve would be flat at the accuracy of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np

from quantgod.auditor.confidence import ranks
from quantgod.contracts import Booleans, Floats, Integers
from quantgod.evaluation.intervals import (
    Interval,
    Replicates,
    half_width,
    interval,
    quotient,
    reweighted,
    share_of,
)

COVERAGES: Final = tuple(percent / 100 for percent in range(1, 101))
"""Shares of rows at which a curve is computed."""


class Ranking(NamedTuple):
    """Rows in order of time, (n,) each: confidence, whether right, and whether the row counts."""

    confidence: Floats
    correct: Booleans
    counted: Booleans


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Selective accuracy of one model.

    Attributes:
        rows: number of rows that count.
        values: accuracy at `COVERAGES`, with intervals.
        area: mean of the curve; None without a row that counts.
        gain: the area minus the accuracy of all rows, which a random order would give.
        difference: the first model's area minus this one's, paired; None for the first.
    """

    rows: int
    values: tuple[Interval, ...]
    area: Interval | None
    gain: Interval | None
    difference: Interval | None = None


def curves(models: Mapping[str, Ranking], effective: float) -> dict[str, Curve]:
    """Return the selective accuracy of each model, with intervals.

    Args:
        models: rankings by name; `difference` is the first model's area minus each other's.
        effective: number of independent rows, whether they count or not.
    """
    shaken = {name: _shaken(ranked, effective) for name, ranked in models.items()}
    first = next(iter(models))
    areas = {name: curve.map(lambda values: values.mean(axis=-1)) for name, curve in shaken.items()}
    return {
        name: Curve(
            rows=int(ranked.counted.sum()),
            values=_band(ranked, shaken[name], effective),
            area=_told(areas[name], effective, 0.0),
            gain=_told(shaken[name].map(_gain), effective, -1.0),
            difference=None if name == first else _told(
                areas[first].join(areas[name], np.subtract), effective, -1.0
            ),
        )
        for name, ranked in models.items()
    }  # fmt: skip


def _shaken(ranked: Ranking, effective: float) -> Replicates:
    """Return the curve (100,) with equal weights and with rows weighted by waves."""
    rank = ranks(ranked.confidence)
    return reweighted(partial(_curve, rank, ranked), len(rank), effective)


def _curve(rank: Integers, ranked: Ranking, weight: Floats) -> Floats:
    """Return the accuracy of weighted rows at `COVERAGES`, (100,); NaN where none counts.

    Rows of equal confidence are taken in proportion, the average over their random orders.
    """
    counted = weight * ranked.counted
    if not ranked.counted.any():
        return np.full(len(COVERAGES), np.nan)
    taken = np.concatenate([[0.0], np.cumsum(np.bincount(rank, counted))])
    hits = np.concatenate([[0.0], np.cumsum(np.bincount(rank, counted * ranked.correct))])
    wanted = np.asarray(COVERAGES) * taken[-1]
    # A rank without a counting row repeats an abscissa with the same hits.
    return quotient(np.interp(wanted, taken, hits), wanted)


def _gain(curve: Floats) -> Floats:
    gain: Floats = curve.mean(axis=-1) - curve[..., -1]
    return gain


def _told(score: Replicates, effective: float, least: float) -> Interval | None:
    return None if np.isnan(score.observed) else interval(score, effective).within(least, 1.0)


def _band(ranked: Ranking, curve: Replicates, effective: float) -> tuple[Interval, ...]:
    if np.isnan(curve.observed).any():
        return ()
    counted = float(ranked.counted.mean()) * effective
    return tuple(
        share_of(min(float(value), 1.0), float(reach), coverage * counted, effective)
        for coverage, value, reach in zip(COVERAGES, curve.observed, half_width(curve), strict=True)
    )
