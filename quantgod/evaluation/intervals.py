"""Intervals of scores whose rows are not independent, and how wide they have to be.

Neighbouring labels share most of their hour, so a score's error is many times what its row count
says, and of 2,000 rows there are but 33 that are independent. So few let a bootstrap of blocks tell
too little doubt: it estimates a variance from a dozen blocks and takes it for known. Here

- rows are weighed by slow waves, 1 + w/2 and 1 - w/2 with w(t) = cos(pi j (t + 1/2) / n) for j = 1,
  2, ..., and a score is computed anew each time. How far it moves is its error: the mean of a
  series times sqrt(2) w has the variance of the series' mean for as long as the wave is much slower
  than what ties neighbours together (the equal-weighted cosine estimator; Müller, 2004; Lazarus,
  Lewis, Stock and Watson, 2018, "HAR Inference: Recommendations for Practice"). No weight is
  negative, so that every score that takes weights can be asked, and none is far from 1: of seven
  rows that are weighed from 0 to 2 a share moves further than it errs.
- B waves give B independent looks at the variance, so the quantile is that of Student's t with B
  degrees of freedom. B grows as 0.8 n^(2/3) of the n independent rows: 8 of 33, 61 of 667. More
  would be narrower and see the overlap, fewer would be wider than must be.
- that is so where rows are normal. Where a few of them make a score (rare classes, dear mistakes)
  all waves look at the same few, and the degrees of freedom are fewer: the relative variance of a
  variance is 2 / B, and k / m more where what m blocks do to the score has an excess kurtosis of k.
  What a block does is how the score differs without it (the jackknife).
- shares of rows and macro-F1 are judged as log-odds and losses as logarithms, where errors are
  nearer to symmetric.

No redraws, no seed, and the cost of one transform. What is measured of it stands in
`docs/judging.md`, by `python -m steps.power --intervals`.
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
"""Independent rows below which nothing is judged."""
FEWEST_COUNTED: Final = 5.0
"""Independent rows that a share is at least taken of, to be judged by waves."""
FEWEST_EITHER: Final = 0.7
"""Independent rows that came true, and that did not."""

_TERMS: Final = 0.8
_AMPLITUDE: Final = 0.5
_MOST_BLOCKS: Final = 100
_EDGE: Final = 1e-9
_CERTAIN: Final = float(ndtri((1 + LEVEL) / 2))


class Interval(NamedTuple):
    """A score and the bounds that hold its true value in 95 of 100 cases.

    Where `enough` is false there are too few independent rows for that, or `why` says what else
    there is too little of: the bounds are then wider than they would be, up to all that there can
    be, and nothing is to be judged by them.
    """

    value: float
    low: float
    high: float
    enough: bool = True
    why: str = ""

    @property
    def lacks(self) -> str:
        """Why nothing is judged by the bounds; empty where they can be relied on."""
        return "" if self.enough else self.why or TOO_FEW

    def within(self, low: float, high: float) -> Interval:
        """The same, cut to what there can be."""
        return self._replace(low=max(self.low, low), high=min(self.high, high))

    def as_odds(self) -> Interval:
        """The same of a score from 0 to 1, as wide in log-odds where none of it lies beyond."""
        reach, room = self.high - self.value, self.value * (1 - self.value)
        if not 0 < reach < min(self.value, 1 - self.value):
            return self
        odds = float(logit(self.value))
        low, high = float(expit(odds - reach / room)), float(expit(odds + reach / room))
        return self._replace(low=low, high=high)

    def limited(self, low: float, high: float, why: str = "") -> Interval:
        """The same, of which nothing is known but that it lies within these limits."""
        return Interval(self.value, low, high, False, why)


class Scale(NamedTuple):
    """On which a score's error is nearly symmetric: there and back."""

    to: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]


PLAIN: Final = Scale(lambda score: score, lambda score: score)
LOSS: Final = Scale(lambda score: np.log(np.maximum(score, _EDGE)), np.exp)


class Replicates(NamedTuple):
    """Means or scores (...) of rows as they are, and with the rows weighed by waves.

    Attributes:
        observed: (...) all rows alike.
        waves: (2, B, ...) weights 1 + wave / 2 and 1 - wave / 2.
        without: (m, ...) all rows but a block, for each of m blocks.
        centre: (...) with the share of one independent row of luck; see `replicates`.
        luck: (2, B, ...) the same with that share weighed by waves.
    """

    observed: Floats
    waves: Floats
    without: Floats
    centre: Floats | None = None
    luck: Floats | None = None

    def map(self, score: Callable[[Floats], Floats]) -> Replicates:
        """A score of each part."""
        return Replicates(*(score(part) for part in self if part is not None))

    def at(self, place: int | slice) -> Replicates:
        """A place, or some, on the last axis."""
        return self.map(lambda part: part[..., place])

    def join(self, other: Replicates, of: Callable[[Floats, Floats], Floats]) -> Replicates:
        """A score of this part and the other's, such as their difference."""
        parts = zip(self, other, strict=True)
        return Replicates(*(of(a, b) for a, b in parts if a is not None and b is not None))


def terms(effective: float) -> int:
    """How many waves so many independent rows are looked at by."""
    return max(1, round(_TERMS * math.pow(effective, 2 / 3)))


def quantile(freedom: Floats) -> Floats:
    """How many standard errors an interval reaches, of so many degrees of freedom (...)."""
    return np.asarray(stdtrit(freedom, (1 + LEVEL) / 2))


def freedom(score: Replicates) -> Floats:
    """Degrees of freedom (...) of a score's squared error: waves, or fewer where few rows count."""
    apart = score.without - score.without.mean(axis=0)
    square = np.square(apart).mean(axis=0)
    excess = np.maximum(quotient(np.power(apart, 4).mean(axis=0), square**2) - 3, 0)
    return np.asarray(1 / (1 / score.waves.shape[1] + excess / (2 * len(apart))))


def weights(rows: int, effective: float) -> Iterator[tuple[int, int, Floats]]:
    """Side (0 for plus, 1 for minus), number and row weights (rows,) of every wave."""
    moment = np.pi * (np.arange(rows) + 0.5) / rows
    for number in range(_fitting(rows, effective)):
        wave = _AMPLITUDE * np.cos((number + 1) * moment)
        yield 0, number, 1 + wave
        yield 1, number, 1 - wave


def left_out(rows: int, effective: float) -> Iterator[Floats]:
    """Row weights (rows,): 0 in a block and 1 elsewhere, for each block in turn."""
    starts = _blocks(rows, effective)
    for start, end in pairwise([*starts, rows]):
        weight = np.ones(rows)
        weight[start:end] = len(starts) == 1
        yield weight


def replicates(columns: Floats, effective: float, lucky: Floats | None = None) -> Replicates:
    """The mean of each column (n, k), and of the columns weighed by waves.

    Args:
        columns: what each row adds, in order of time.
        effective: how many independent rows they equal.
        lucky: (n, k) what the rows would add if what was said had nothing to do with what came.
            The doubt that one independent such row casts is added: of few decided moves all can
            come true, or none, and the rows themselves would then know of no doubt.
    """
    mean, wave = columns.mean(axis=0), _waves(columns, effective)
    without = _without(columns, effective)
    if lucky is None:
        return Replicates(mean, mean + wave, without)
    share = effective**-0.5
    centre = (1 - share) * mean + share * lucky.mean(axis=0)
    return Replicates(mean, mean + wave, without, centre, centre + share * _waves(lucky, effective))


def interval(
    score: Replicates, effective: float, scale: Scale = PLAIN, unseen: float = 0.0
) -> Interval:
    """The interval of a score, () in every part; `unseen` is a variance that rows do not show."""
    scaled = score.map(scale.to)
    value, doubt = scaled.observed, np.square(quantile(freedom(scaled))) * variance(scaled)
    if scaled.centre is not None and scaled.luck is not None:
        doubt += _CERTAIN**2 * _mean_square(scaled.luck - scaled.centre)
    reach = np.sqrt(doubt + _CERTAIN**2 * unseen)
    low, high = scale.back(value - reach), scale.back(value + reach)
    # The way there and back rounds; what does not move has no width.
    if not reach > 0:
        low = high = score.observed
    enough = effective >= FEWEST_ROWS
    return Interval(float(score.observed), float(low), float(high), enough)


def variance(score: Replicates) -> Floats:
    """The squared error (...) of a score: how far waves move it."""
    return _mean_square(score.waves - score.observed)


def half_width(score: Replicates) -> Floats:
    """How far (...) the truth may lie from a score whose errors are symmetric."""
    return np.asarray(quantile(freedom(score)) * np.sqrt(variance(score)))


def share(right: Replicates, counted: Replicates, effective: float) -> Interval | None:
    """The interval of a share of rows, such as of hits among moves; None where no row counts.

    Of few rows, or of rows of which all came true or none, the bounds are those of as many
    independent ones (Clopper and Pearson, 1934), which promise more than 95 %.

    Args:
        right: () of what is counted and came true, per row.
        counted: () of what is counted.
        effective: how many independent rows there are, counted or not.
    """
    if not counted.observed > 0:
        return None
    found = right.join(counted, quotient)
    rows, reach = float(counted.observed) * effective, half_width(found)
    return share_of(float(found.observed), float(reach), rows, effective)


def share_among(right: Booleans, counted: Booleans, effective: float) -> Interval | None:
    """The same of rows (n,): which are counted, and which of those came true."""
    columns = np.stack([right & counted, counted], axis=1).astype(np.float64)
    sums = replicates(columns, effective)
    return share(sums.at(0), sums.at(1), effective)


def quotient(above: Floats, below: Floats) -> Floats:
    """Above over below; 0 where there is nothing below."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below > 0)


def share_of(value: float, reach: float, rows: float, effective: float) -> Interval:
    """The same of a share of `rows` independent rows, by its `half_width`."""
    hits = value * rows
    enough = rows >= FEWEST_COUNTED and effective >= FEWEST_ROWS
    if not enough or min(hits, rows - hits) < FEWEST_EITHER:
        return exact(value, rows)._replace(enough=enough)
    # As if there were one more row that is right every other time (Agresti and Coull, 1998: four).
    centre = (hits + 0.5) / (rows + 1)
    odds, apart = float(logit(value)), reach / (centre * (1 - centre))
    return Interval(value, float(expit(odds - apart)), float(expit(odds + apart)))


def exact(value: float, rows: float) -> Interval:
    """Bounds of a share of so many independent rows, which need not be whole ones."""
    tail, hits = (1 - LEVEL) / 2, value * rows
    low = float(betaincinv(hits, rows - hits + 1, tail)) if value > 0 else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - tail)) if value < 1 else 1.0
    return Interval(value, low, high)


def _waves(columns: Floats, effective: float) -> Floats:
    """(2, B, k) means of columns times plus and minus half of each wave."""
    count = len(columns)
    if count < 2:  # which no wave can weigh: `enough` is false
        return np.zeros((2, 1, *columns.shape[1:]))
    found: Floats = dct(columns, type=2, axis=0)[1 : _fitting(count, effective) + 1]
    waves = found * _AMPLITUDE / (2 * count)
    return np.stack([waves, -waves])


def _without(columns: Floats, effective: float) -> Floats:
    """(m, k) means of columns but for a block; of all rows where there is but one block."""
    starts = _blocks(len(columns), effective)
    if len(starts) == 1:
        return np.asarray(columns.mean(axis=0))[None]
    left = len(columns) - np.diff(starts, append=len(columns))
    without: Floats = columns.sum(axis=0) - np.add.reduceat(columns, starts, axis=0)
    without /= left[:, None]
    return without


def _blocks(rows: int, effective: float) -> Integers:
    """First rows of blocks that hold an independent row each, or more."""
    count = max(1, min(round(effective), _MOST_BLOCKS, rows))
    return np.arange(count) * rows // count


def _fitting(count: int, effective: float) -> int:
    return min(terms(effective), count - 1)


def _mean_square(apart: Floats) -> Floats:
    """Over waves, of both sides together: a full wave moves by sqrt(1/2) of an error to either."""
    squares: Floats = np.square(apart).sum(axis=0).mean(axis=0) / _AMPLITUDE**2
    return squares
