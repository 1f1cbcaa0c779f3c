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
import numpy.typing as npt

from quantgod.evaluation.bootstrap import LEVEL, Interval, redraws
from quantgod.evaluation.slices import Redrawing, interval_of

COVERAGES: Final = tuple(percent / 100 for percent in range(1, 101))
"""Shares of rows at which a curve is told."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Ranked(NamedTuple):
    """Rows in order of time, (n,) each: how sure, whether right, and whether the row counts."""

    confidence: Floats
    correct: Flags
    counted: Flags


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


def curves(models: Mapping[str, Ranked], redrawing: Redrawing) -> dict[str, Curve]:
    """Selective accuracy of each model with block-bootstrap intervals.

    Args:
        models: by name; `difference` is the first model's area minus that of each other.
        redrawing: of all rows, whether they count or not.
    """
    drawn = {name: np.full((redrawing.rounds, len(COVERAGES)), np.nan) for name in models}
    order = {name: _places(ranked.confidence) for name, ranked in models.items()}
    rows = len(next(iter(models.values())).confidence)
    for number, index in enumerate(redraws(rows, *redrawing)):
        for name, ranked in models.items():
            drawn[name][number] = _curve(order[name], ranked, index)
    everything = np.arange(rows)
    observed = {name: _curve(order[name], models[name], everything) for name in models}
    first = next(iter(models))
    return {
        name: Curve(
            rows=int(ranked.counted.sum()),
            values=_band(observed[name], drawn[name]),
            area=interval_of(float(observed[name].mean()), drawn[name].mean(axis=1)),
            gain=interval_of(float(_gain(observed[name])), _gain(drawn[name]), -1.0),
            difference=None if name == first else interval_of(
                float(observed[first].mean() - observed[name].mean()),
                drawn[first].mean(axis=1) - drawn[name].mean(axis=1),
                -1.0,
            ),
        )
        for name, ranked in models.items()
    }  # fmt: skip


def _places(confidence: Floats) -> Integers:
    """The place of each row's confidence among the distinct ones, the highest first."""
    places: Integers = np.unique(-confidence, return_inverse=True)[1].astype(np.int64)
    return places


def _curve(place: Integers, ranked: Ranked, index: Integers) -> Floats:
    """Accuracy at `COVERAGES` (100,) of the rows `index`; NaN where none counts.

    Rows of equal confidence are taken in proportion, which is what a random order among them gives
    on average.
    """
    chosen = index[ranked.counted[index]]
    if not len(chosen):
        return np.full(len(COVERAGES), np.nan)
    taken = np.concatenate([[0], np.cumsum(np.bincount(place[chosen]))])
    hits = np.bincount(place[chosen], weights=ranked.correct[chosen])
    wanted = np.asarray(COVERAGES) * len(chosen)
    # A place that this redraw lacks repeats an abscissa, with the same hits beside it.
    reached = np.interp(wanted, taken, np.concatenate([[0.0], np.cumsum(hits)]))
    return np.asarray(reached / wanted)


def _gain(curve: Floats) -> Floats:
    gain: Floats = curve.mean(axis=-1) - curve[..., -1]
    return gain


def _band(observed: Floats, drawn: Floats) -> tuple[Interval, ...]:
    if np.isnan(observed).any():
        return ()
    known = drawn[~np.isnan(drawn[:, -1])]
    if not len(known):
        return tuple(Interval(float(value), 0.0, 1.0) for value in observed)
    bounds = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return tuple(
        Interval(float(value), float(low), float(high))
        for value, low, high in zip(observed, *bounds, strict=True)
    )
