"""Correct quantiles by how outcomes fell about those that were said before.

Of each expert: signed conformal scores of every level, normalised by the width that was said, of
matured forecasts alone (conformalised quantile regression, Romano et al. 2019, one level at a
time). Of the ensemble: its intervals, by adaptive conformal inference (Gibbs and Candès 2021),
which judges the interval that was issued.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .quantiles import COVERAGES, LEVELS, MEDIAN

Floats = npt.NDArray[np.float64]

LEAST_WIDTH = 1e-6
_LOW, _HIGH = COVERAGES[0.5]
_PAIRS = tuple(COVERAGES.values())
LOWER = np.array([low for low, _ in _PAIRS])
UPPER = np.array([high for _, high in _PAIRS])
SHARES = np.array(list(COVERAGES))
"""Shares of outcomes that the intervals are to hold, narrowest first."""


def width_of(quantiles: Floats) -> Floats:
    """Return the distance of the quartiles, (..., 1), at least `LEAST_WIDTH`."""
    apart = quantiles[..., _HIGH] - quantiles[..., _LOW]
    return np.asarray(np.maximum(apart, LEAST_WIDTH)[..., None])


def level_scores(outcome: Floats, quantiles: Floats) -> Floats:
    """Return (outcome - quantile) / width of each level, (..., levels), outcome (...)."""
    return np.asarray((outcome[..., None] - quantiles) / width_of(quantiles))


def moves_of(scores: Floats, trust: float) -> Floats:
    """Return by how many widths each level is to move, (...), of scores (n, ..., levels).

    Args:
        scores: of matured forecasts, as `level_scores` makes.
        trust: how much of the move is believed, 0 to 1.
    """
    ordered, places = np.sort(scores, axis=0), _levels_for(len(scores))
    moved = [_ranked(ordered[..., level], places[level]) for level in range(len(LEVELS))]
    return np.asarray(trust * np.stack(moved, axis=-1))


def corrected(quantiles: Floats, moves: Floats) -> Floats:
    """Return quantiles (n, ..., levels), each level moved by (..., levels) widths."""
    return rising(quantiles + moves * width_of(quantiles))


def interval_scores(outcome: Floats, quantiles: Floats) -> Floats:
    """Return by how much outcomes (n,) lie outside each interval, over its width, (n, intervals).

    Below zero an outcome lies inside.
    """
    low, high = quantiles[:, LOWER], quantiles[:, UPPER]
    outside = np.maximum(low - outcome[:, None], outcome[:, None] - high)
    return np.asarray(outside / np.maximum(high - low, LEAST_WIDTH))


def adapted(quantiles: Floats, scores: Floats, alpha: Floats, trust: float) -> Floats:
    """Return quantiles (n, levels) with each interval widened to miss a share of `alpha`.

    Args:
        quantiles: (n, levels), rising.
        scores: (m, intervals) of matured forecasts, as `interval_scores` makes.
        alpha: (intervals,) shares to be missed, as they have adapted; they may leave [0, 1].
        trust: how much of the change is believed, 0 to 1; of none is nothing looked at.
    """
    if not trust:
        return quantiles
    found = quantiles.copy()
    for place, (low, high) in enumerate(_PAIRS):
        share = np.clip((1 - alpha[place]) * (1 + 1 / len(scores)), 0.0, 1.0)
        more = trust * np.quantile(scores[:, place], share)
        wider = more * np.maximum(quantiles[:, high] - quantiles[:, low], LEAST_WIDTH)
        found[:, low], found[:, high] = quantiles[:, low] - wider, quantiles[:, high] + wider
    return rising(found)


def missed(outcome: Floats, quantiles: Floats) -> Floats:
    """Return the share of outcomes (n,) outside each interval of quantiles, (intervals,)."""
    low, high = quantiles[:, LOWER], quantiles[:, UPPER]
    outside = (outcome[:, None] < low) | (outcome[:, None] > high)
    return np.asarray(outside.mean(axis=0))


def rising(quantiles: Floats) -> Floats:
    """Return quantiles that do not cross: from the median outward each is at least as far."""
    found = quantiles.copy()
    found[..., MEDIAN:] = np.maximum.accumulate(found[..., MEDIAN:], axis=-1)
    down = found[..., MEDIAN::-1]
    found[..., MEDIAN::-1] = np.minimum.accumulate(down, axis=-1)
    return found


def _levels_for(count: int) -> Floats:
    """Return the levels at which `count` scores are read: a little outward, as they are few."""
    outward = 0.5 + (np.array(LEVELS) - 0.5) * (1 + 1 / count)
    return np.asarray(np.clip(outward, 0.0, 1.0))


def _ranked(ordered: Floats, level: float) -> Floats:
    """Return a quantile along the first axis of values in order, as `numpy.quantile` does."""
    place = level * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return np.asarray(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
