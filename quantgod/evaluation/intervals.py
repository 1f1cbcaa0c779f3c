"""Compute intervals of scores whose rows are not independent.

Neighbouring labels share most of their hour, so a score's error is many times what its number of
rows suggests: 2,000 rows hold only 33 independent ones. With so few a block bootstrap is too
narrow: it estimates a variance from a dozen blocks and treats it as known. Instead:

- Rows are weighted by slow waves, 1 + w/2 and 1 - w/2 with w(t) = cos(pi j (t + 1/2) / n) for j =
  1, 2, ..., and the score is computed again each time. How far it moves estimates its error: the
  mean of a series times sqrt(2) w has the variance of the series' mean, as long as the wave is much
  slower than the dependence between neighbours (the equal-weighted cosine estimator; Müller, 2004;
  Lazarus, Lewis, Stock and Watson, 2018, "HAR Inference: Recommendations for Practice"). No weight
  is negative, so any score that takes weights works, and none is far from 1: with weights from 0 to
  2 on seven rows, a share would move further than its error.
- B waves give B independent estimates of the variance, so the quantile is that of Student's t with
  B degrees of freedom. B grows as 0.8 n^(2/3) of the n independent rows: 8 of 33, 61 of 667. More
  waves would give narrower intervals but see the overlap; fewer would be too wide.
- This holds for normal rows. If few rows determine a score (rare classes, expensive mistakes), all
  waves see the same few, and there are fewer degrees of freedom: the relative variance of a
  variance is 2 / B, plus k / m if the influences of m blocks on the score have an excess kurtosis
  of k. A block's influence is the change of the score without it (the jackknife).
- Shares of rows and macro-F1 are judged as log-odds, and losses as logarithms, since their errors
  are then closer to symmetric.

There are no redraws and no seed, and the cost is one transform. `python -m steps.power --intervals`
measures it; the results are in `docs/judging.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from scipy.fft import dct
from scipy.special import betaincinv, expit, logit, ndtri, stdtrit

from quantgod.contracts import Booleans, Floats, Integers

LEVEL: Final = 0.95
TOO_FEW: Final = "too few rows"
FEWEST_ROWS: Final = 30.0
"""With fewer independent rows nothing is judged."""
FEWEST_COUNTED: Final = 5.0
"""Independent rows that a share must count at least, to be judged by waves."""
FEWEST_EITHER: Final = 0.7
"""Independent rows needed among those that came true, and among those that did not."""

_TERMS: Final = 0.8
_AMPLITUDE: Final = 0.5
_MOST_BLOCKS: Final = 100
_EDGE: Final = 1e-9


class Interval(NamedTuple):
    """A score and bounds that contain its true value in 95 of 100 cases.

    If `enough` is false, there are too few independent rows, or too little of what `why` names. The
    bounds are then wider, up to all possible values, and must not be used to judge.
    """

    value: float
    low: float
    high: float
    enough: bool = True
    why: str = ""

    @property
    def lacks(self) -> str:
        """Return why the bounds cannot be relied on; empty if they can."""
        return "" if self.enough else self.why or TOO_FEW

    def within(self, low: float, high: float) -> Interval:
        """Return the interval clipped to the possible values."""
        return self._replace(low=max(self.low, low), high=min(self.high, high))

    def as_odds(self) -> Interval:
        """Return the interval of a score in 0 to 1 with the same width in log-odds, if it can."""
        reach, room = self.high - self.value, self.value * (1 - self.value)
        if not 0 < reach < min(self.value, 1 - self.value):
            return self
        odds = float(logit(self.value))
        low, high = float(expit(odds - reach / room)), float(expit(odds + reach / room))
        return self._replace(low=low, high=high)

    def widened(self, times: float) -> Interval:
        """Return the interval with ends that many times as far from the value."""
        low, high = (self.value + times * (end - self.value) for end in (self.low, self.high))
        return self._replace(low=low, high=high)

    def limited(self, low: float, high: float, why: str = "") -> Interval:
        """Return the interval widened to these limits, and not to be judged by."""
        return Interval(self.value, low, high, False, why)


class Scale(NamedTuple):
    """A transform on which a score's error is nearly symmetric, and its inverse."""

    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


PLAIN: Final = Scale(lambda score: score, lambda score: score)
LOSS: Final = Scale(lambda score: np.log(np.maximum(score, _EDGE)), np.exp)


class Replicates(NamedTuple):
    """Means or scores (...) of all rows, and of the rows weighted by waves.

    Attributes:
        observed: (...) with equal weights.
        waves: (2, B, ...) with weights 1 + wave / 2 and 1 - wave / 2.
        without: (m, ...) without one block, for each of m blocks.
        centre: (...) with one independent row of luck added; see `replicates`.
        luck: (2, B, ...) the same with the added row weighted by waves.
    """

    observed: Floats
    waves: Floats
    without: Floats
    centre: Floats | None = None
    luck: Floats | None = None

    @property
    def present(self) -> list[Floats]:
        """Return the parts that are there."""
        return [part for part in self if part is not None]

    def map(self, score: Callable[[Floats], Floats]) -> Replicates:
        """Apply a score to each part."""
        return Replicates(*map(score, self.present))

    def at(self, place: int | slice) -> Replicates:
        """Return one or several positions of the last axis."""
        return self.map(lambda part: part[..., place])

    def join(self, other: Replicates, of: Callable[[Floats, Floats], Floats]) -> Replicates:
        """Combine this and another, for example to their difference."""
        return Replicates(*map(of, self.present, other.present))


def terms(effective: float) -> int:
    """Return the number of waves for a number of independent rows."""
    return max(1, round(_TERMS * math.pow(effective, 2 / 3)))


def quantile(freedom: Floats, level: float = LEVEL) -> Floats:
    """Return the half width of an interval in standard errors, by degrees of freedom (...)."""
    return np.asarray(stdtrit(freedom, (1 + level) / 2))


def freedom(score: Replicates) -> Floats:
    """Return degrees of freedom (...) of a squared error: waves, or fewer if few rows matter."""
    apart = score.without - score.without.mean(axis=0)
    square = np.square(apart).mean(axis=0)
    excess = np.maximum(quotient(np.power(apart, 4).mean(axis=0), square**2) - 3, 0)
    return np.asarray(1 / (1 / score.waves.shape[1] + excess / (2 * len(apart))))


def weights(rows: int, effective: float) -> Iterator[tuple[int, int, Floats]]:
    """Yield side (0 for plus, 1 for minus), number and row weights (rows,) of every wave."""
    moment = np.pi * (np.arange(rows) + 0.5) / rows
    for number in range(_fitting(rows, effective)):
        wave = _AMPLITUDE * np.cos((number + 1) * moment)
        yield 0, number, 1 + wave
        yield 1, number, 1 - wave


def left_out(rows: int, effective: float) -> Iterator[Floats]:
    """Yield row weights (rows,) for each block: 0 in the block and 1 elsewhere."""
    starts = _blocks(rows, effective)
    for start, end in pairwise([*starts, rows]):
        weight = np.ones(rows)
        weight[start:end] = len(starts) == 1
        yield weight


def replicates(columns: Floats, effective: float, lucky: Floats | None = None) -> Replicates:
    """Return the mean of each column (n, k), and of the columns weighted by waves.

    Args:
        columns: contribution of each row, in order of time.
        effective: number of independent rows.
        lucky: (n, k) contributions if forecasts and outcomes were unrelated. The uncertainty of one
            independent such row is added: of few decided moves all or none may come true, and the
            rows themselves would then show no uncertainty.
    """
    mean, wave = columns.mean(axis=0), _waves(columns, effective)
    without = _without(columns, effective)
    if lucky is None:
        return Replicates(mean, mean + wave, without)
    share = effective**-0.5
    centre = (1 - share) * mean + share * lucky.mean(axis=0)
    return Replicates(mean, mean + wave, without, centre, centre + share * _waves(lucky, effective))


def reweighted(score: Callable[[Floats], Floats], rows: int, effective: float) -> Replicates:
    """Return the replicates of a score that takes weights (rows,) of the rows.

    Args:
        score: gives (...), whatever the weights; none is below 0, and some may be 0.
        rows: in order of time.
        effective: number of independent rows.
    """
    equal = score(np.ones(rows))
    waves = [score(weight) for _, _, weight in weights(rows, effective)]
    sides = np.stack([waves[::2], waves[1::2]]) if waves else np.stack([equal, equal])[:, None]
    return Replicates(
        equal, sides, np.stack([score(weight) for weight in left_out(rows, effective)])
    )


def interval(
    score: Replicates,
    effective: float,
    scale: Scale = PLAIN,
    unseen: float = 0.0,
    level: float = LEVEL,
) -> Interval:
    """Return the interval of a scalar score; `unseen` is variance that the rows do not show."""
    scaled, certain = score.map(scale.to), float(ndtri((1 + level) / 2))
    value, doubt = scaled.observed, np.square(quantile(freedom(scaled), level)) * variance(scaled)
    _, _, _, *lucky = scaled.present
    if lucky:
        centre, luck = lucky
        doubt += certain**2 * _mean_square(luck - centre)
    reach = np.sqrt(doubt + certain**2 * unseen)
    low, high = scale.back(value - reach), scale.back(value + reach)
    # The transform and its inverse round; a score that does not move has width zero.
    if not reach > 0:
        low = high = score.observed
    enough = effective >= FEWEST_ROWS
    return Interval(float(score.observed), float(low), float(high), enough)


def variance(score: Replicates) -> Floats:
    """Return the squared error (...) of a score: how far waves move it."""
    return _mean_square(score.waves - score.observed)


def half_width(score: Replicates) -> Floats:
    """Return how far (...) the truth may lie from a score with symmetric errors."""
    return np.asarray(quantile(freedom(score)) * np.sqrt(variance(score)))


def share(right: Replicates, counted: Replicates, effective: float) -> Interval | None:
    """Return the interval of a share of rows, such as hits among moves; None if no row counts.

    For few rows, or if all or none came true, the bounds are those of as many independent rows
    (Clopper and Pearson, 1934), which promise more than 95 %.

    Args:
        right: () share of rows that count and came true.
        counted: () share of rows that count.
        effective: number of independent rows, counted or not.
    """
    if not counted.observed > 0:
        return None
    found = right.join(counted, quotient)
    rows, reach = float(counted.observed) * effective, half_width(found)
    return share_of(float(found.observed), float(reach), rows, effective)


def share_among(right: Booleans, counted: Booleans, effective: float) -> Interval | None:
    """Return the same from masks (n,): which rows count, and which of those came true."""
    columns = np.stack([right & counted, counted], axis=1).astype(np.float64)
    sums = replicates(columns, effective)
    return share(sums.at(0), sums.at(1), effective)


def quotient(above: Floats, below: Floats) -> Floats:
    """Return above / below, and 0 where below is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def share_of(value: float, reach: float, rows: float, effective: float) -> Interval:
    """Return the interval of a share of `rows` independent rows, from its `half_width`."""
    hits = value * rows
    enough = rows >= FEWEST_COUNTED and effective >= FEWEST_ROWS
    if not enough or min(hits, rows - hits) < FEWEST_EITHER:
        return exact(value, rows)._replace(enough=enough)
    # As if there were one more row, half right (Agresti and Coull, 1998, use four rows).
    centre = (hits + 0.5) / (rows + 1)
    odds, apart = float(logit(value)), reach / (centre * (1 - centre))
    return Interval(value, float(expit(odds - apart)), float(expit(odds + apart)))


def exact(value: float, rows: float) -> Interval:
    """Return exact bounds of a share of `rows` independent rows, which need not be whole."""
    tail, hits = (1 - LEVEL) / 2, value * rows
    low = float(betaincinv(hits, rows - hits + 1, tail)) if value > 0 else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - tail)) if value < 1 else 1.0
    return Interval(value, low, high)


def _waves(columns: Floats, effective: float) -> Floats:
    """Return the means of the columns times plus and minus half of each wave, (2, B, k)."""
    count = len(columns)
    if count > 1:
        found = dct(columns, type=2, axis=0)[1 : _fitting(count, effective) + 1]
    else:
        found = np.zeros_like(columns)  # one row is too few for waves: `enough` is false
    waves = found * _AMPLITUDE / (2 * count)
    return np.stack([waves, -waves])


def _without(columns: Floats, effective: float) -> Floats:
    """Return the means of the columns without each block, (m, k); of all rows for one block."""
    starts = _blocks(len(columns), effective)
    if len(starts) == 1:
        return np.asarray(columns.mean(axis=0))[None]
    left = len(columns) - np.diff(starts, append=len(columns))
    without: Floats = columns.sum(axis=0) - np.add.reduceat(columns, starts, axis=0)
    without /= left[:, None]
    return without


def _blocks(rows: int, effective: float) -> Integers:
    """Return the first rows of blocks that hold at least one independent row each."""
    count = max(1, min(round(effective), _MOST_BLOCKS, rows))
    return np.arange(count) * rows // count


def _fitting(count: int, effective: float) -> int:
    return min(terms(effective), count - 1)


def _mean_square(apart: Floats) -> Floats:
    """Return the mean square over waves and sides; a full wave moves sqrt(1/2) of an error."""
    squares: Floats = np.square(apart).sum(axis=0).mean(axis=0) / _AMPLITUDE**2
    return squares
