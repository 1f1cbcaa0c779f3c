"""What a model gains by keeping silent: accuracy among its most confident share of rows.

El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification" (2010); the mean
over coverages is one minus the area under the risk-coverage curve of Geifman, Uziel and El-Yaniv,
"Bias-Reduced Uncertainty Estimation" (2019). Without any order among rows the curve would be level
at the accuracy of all rows, and its mean that accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

from quantgod.contracts import Booleans, Floats, Integers
from quantgod.evaluation.intervals import (
    Interval,
    Replicates,
    half_width,
    interval,
    left_out,
    quotient,
    share_of,
    weights,
)

COVERAGES: Final = tuple(percent / 100 for percent in range(1, 101))
"""Shares of rows at which a curve is told."""


class Ranking(NamedTuple):
    """Rows in order of time, (n,) each: how sure, whether right, and whether the row counts."""

    confidence: Floats
    correct: Booleans
    counted: Booleans


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Selective accuracy of one model.

    Attributes:
        rows: that count.
        values: at `COVERAGES`, with intervals.
        area: mean of the curve; None without a row that counts.
        gain: the area above the accuracy of all rows, which an order without sense gives.
        difference: the area above that of the model it is compared with, paired; None for that one.
    """

    rows: int
    values: tuple[Interval, ...]
    area: Interval | None
    gain: Interval | None
    difference: Interval | None = None


def curves(models: Mapping[str, Ranking], effective: float) -> dict[str, Curve]:
    """Selective accuracy of each model, with intervals.

    Args:
        models: by name; `difference` is the first model's area minus that of each other.
        effective: how many independent rows there are, whether they count or not.
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
    """The curve (100,) of all rows alike and of rows weighed by waves."""
    place, rows = _places(ranked.confidence), len(ranked.confidence)
    curve = _curve(place, ranked, np.ones(rows))
    waves = [_curve(place, ranked, weight) for _, _, weight in weights(rows, effective)]
    sides = np.stack([waves[::2], waves[1::2]]) if waves else np.stack([curve, curve])[:, None]
    without = [_curve(place, ranked, weight) for weight in left_out(rows, effective)]
    return Replicates(curve, sides, np.stack(without))


def _places(confidence: Floats) -> Integers:
    """The place of each row's confidence among the distinct ones, the highest first."""
    places: Integers = np.unique(-confidence, return_inverse=True)[1].astype(np.int64)
    return places


def _curve(place: Integers, ranked: Ranking, weight: Floats) -> Floats:
    """Accuracy at `COVERAGES` (100,) of weighed rows; NaN where none counts.

    Rows of equal confidence are taken in proportion, which is what a random order among them gives
    on average.
    """
    counted = weight * ranked.counted
    if not ranked.counted.any():
        return np.full(len(COVERAGES), np.nan)
    taken = np.concatenate([[0.0], np.cumsum(np.bincount(place, counted))])
    hits = np.concatenate([[0.0], np.cumsum(np.bincount(place, counted * ranked.correct))])
    wanted = np.asarray(COVERAGES) * taken[-1]
    # A place without a row that counts repeats an abscissa, with the same hits beside it.
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
