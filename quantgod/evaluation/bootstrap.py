"""Intervals for scores of rows that are not independent, and how many independent rows they equal.

Neighbouring labels share most of their hour, so a score's error is many times what its row count
says. The moving-block bootstrap (Künsch, 1989) draws whole stretches of neighbours and so keeps
what ties them together within a stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from quantgod.contracts import Progress, silent
from quantgod.evaluation.metrics import TALLIED, scores_of, tally

HORIZONS_PER_BLOCK: Final = 3
LEVEL: Final = 0.95
_NOTHING: Final = 1e-9
"""Below this a difference of running sums is rounding."""

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Statistics = Callable[[Integers], Mapping[str, float]]
"""Row numbers in (with repeats), named scores of those rows out."""


class Interval(NamedTuple):
    """A score on the rows as they are, and the bounds that its redrawn values keep within."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Intervals by model and score, and of the first model's score minus each other model's."""

    models: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]


def intervals(
    statistics: Statistics,
    rows: int,
    block: int,
    rounds: int,
    seed: int,
    level: float = LEVEL,
    progress: Progress = silent,
) -> dict[str, Interval]:
    """Percentile intervals of any scores of `rows` rows in order of time.

    For a paired difference let `statistics` return the difference: both sides see the same rows.

    Args:
        statistics: the scores of the rows it is given.
        rows: how many there are.
        block: rows a block; see `block_rows`.
        rounds: redraws.
        seed: same seed, same intervals.
        level: the share of redrawn values inside.
        progress: told of every hundredth round and of the end.

    Raises:
        ValueError: for a block that does not fit, or fewer than two rounds.
    """
    if rounds < 2 or not 0 < level < 1:
        raise ValueError(f"two rounds and a level in (0, 1) are needed, got {rounds} and {level}")
    observed = statistics(np.arange(rows))
    drawn = np.empty((rounds, len(observed)))
    for number, index in enumerate(redraws(rows, block, rounds, seed)):
        drawn[number] = list(statistics(index).values())
        if number % 100 == 0:
            progress(number, rounds, "bootstrap")
    progress(rounds, rounds, "bootstrap")
    return _intervals(observed, dict(zip(observed, drawn.T, strict=True)), level)


def ratio_intervals(
    ratios: Mapping[str, tuple[Floats, Floats]],
    block: int,
    rounds: int,
    seed: int,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Intervals of quotients of sums, such as the share of hits among some of the rows.

    A redraw that holds none of the rows that count says nothing and is left out.

    Args:
        ratios: by name, what is summed above the line (n,) and below it (n,), which is not negative
            and somewhere above zero.
        block: rows a block.
        rounds: redraws.
        seed: of the redraws.
        level: the share of redrawn values inside.
    """
    columns = np.stack([side for pair in ratios.values() for side in pair], axis=1)
    sums = redrawn_sums(columns, block, rounds, seed).reshape(rounds, -1, 2)
    observed = {name: float(above.sum() / below.sum()) for name, (above, below) in ratios.items()}
    drawn = {}
    for place, name in enumerate(ratios):
        counted = sums[:, place, 1] > _NOTHING
        drawn[name] = sums[counted, place, 0] / sums[counted, place, 1]
    return _intervals(observed, drawn, level)


def compare(
    target: npt.NDArray[np.integer[Any]],
    models: Mapping[str, npt.NDArray[np.floating[Any]]],
    decision_weights: Mapping[str, Sequence[float]],
    block: int,
    rounds: int,
    seed: int,
    progress: Progress = silent,
) -> Comparison:
    """The classification report of several models on the same rows, with intervals.

    Every round redraws the rows once for all models, so the differences are paired. The first model
    is the one that the others are compared with: a difference is its score minus the other's.

    Args:
        target: (n,) class numbers in order of time.
        models: probabilities (n, 3) by name.
        decision_weights: by the model's name; a model without takes its likeliest class.
        block: rows a block.
        rounds: redraws.
        seed: of the redraws.
        progress: how far it is.

    Raises:
        ValueError: for no models, or arrays that do not fit together.
    """
    if not models:
        raise ValueError("at least one model is needed to compare")
    columns = np.concatenate(
        [tally(target, given, decision_weights.get(name)) for name, given in models.items()], axis=1
    )
    observed = scores_of(columns.sum(axis=0).reshape(-1, TALLIED))
    sums = redrawn_sums(columns, block, rounds, seed, progress)
    drawn = scores_of(sums.reshape(rounds, -1, TALLIED))
    first, *others = models
    places = {name: place for place, name in enumerate(models)}
    return Comparison(
        {name: _of_scores(observed, drawn, place) for name, place in places.items()},
        {name: _of_scores(observed, drawn, places[first], places[name]) for name in others},
    )


def _of_scores(
    observed: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    place: int,
    minus: int | None = None,
) -> dict[str, Interval]:
    """Intervals of one model's scores, or of what they are above another's."""

    def of(scores: Floats) -> Floats:
        taken: Floats = scores[..., place] - (0.0 if minus is None else scores[..., minus])
        return taken

    return _intervals(
        {name: float(of(scores)) for name, scores in observed.items()},
        {name: of(scores) for name, scores in drawn.items()},
    )


def block_rows(horizon_minutes: int, stride: int, rows: int) -> int:
    """Rows a block: three label horizons, but at most a quarter of the rows.

    Labels of h minutes are correlated as a triangle of width h. A block of c horizons then catches
    the share 1 - 1/(3c) of the variance of a mean: two thirds for one horizon, 89 % for three.
    Longer blocks would catch more and leave too few of them to draw from.
    """
    return max(1, min(HORIZONS_PER_BLOCK * math.ceil(horizon_minutes / stride), rows // 4))


def redraws(rows: int, block: int, rounds: int, seed: int) -> Iterator[Integers]:
    """Row numbers of each round: blocks from anywhere, end to end, cut to `rows`."""
    within = np.arange(block)
    for starts in _starts(rows, block, rounds, seed):
        yield (starts[:, None] + within).ravel()[:rows]


def redrawn_sums(
    columns: Floats, block: int, rounds: int, seed: int, progress: Progress = silent
) -> Floats:
    """The sum of each column (n, k) over the rows of each of `redraws`, (rounds, k).

    A block's sum is the difference of two running sums, so that a round costs what its blocks do
    and not its rows. Whole numbers are exact; others are off by rounding of the running sum.

    Args:
        columns: what each row adds.
        block: rows a block.
        rounds: redraws.
        seed: of the redraws.
        progress: told of every hundredth round and of the end.

    Raises:
        ValueError: for a block that does not fit, or fewer than two rounds.
    """
    rows = len(columns)
    running = np.concatenate([np.zeros((1, columns.shape[1])), np.cumsum(columns, axis=0)])
    lengths = np.full(math.ceil(rows / block), block)
    lengths[-1] = rows - block * (len(lengths) - 1)
    sums = np.empty((rounds, columns.shape[1]))
    for number, starts in enumerate(_starts(rows, block, rounds, seed)):
        sums[number] = (running[starts + lengths] - running[starts]).sum(axis=0)
        if number % 100 == 0:
            progress(number, rounds, "bootstrap")
    progress(rounds, rounds, "bootstrap")
    return sums


def _starts(rows: int, block: int, rounds: int, seed: int) -> Iterator[Integers]:
    if rounds < 2:
        raise ValueError(f"at least two rounds are needed, got {rounds}")
    if not 0 < block <= rows:
        raise ValueError(f"a block of {block} rows does not fit {rows} rows")
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield rng.integers(0, rows - block + 1, size=math.ceil(rows / block))


def effective_size(series: Floats) -> float:
    """How many independent values fix the mean of a series as well: n / (1 + 2 sum of rho_k).

    Autocorrelations rho_k are summed in pairs for as long as a pair is positive (the initial
    positive sequence of Geyer, 1992, "Practical Markov chain Monte Carlo"). At most n; a constant
    series: n. For labels, the sum of `dataset.splits.uniqueness` is a count without an estimate.
    """
    count = len(series)
    if count < 2 or np.ptp(series) == 0:
        return float(count)
    power = np.abs(np.fft.rfft(series - series.mean(), 2 * count)) ** 2
    covariance = np.fft.irfft(power)[:count]
    correlation = covariance / covariance[0]
    pairs = correlation[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
    ended = np.flatnonzero(pairs <= 0)
    kept = pairs[: ended[0]] if len(ended) else pairs
    # Every pair but the first holds two lags; the first holds lag 0, which counts once.
    return float(count / max(2 * kept.sum() - 1, 1.0))


def _intervals(
    observed: Mapping[str, float], drawn: Mapping[str, Floats], level: float = LEVEL
) -> dict[str, Interval]:
    tail = (1 - level) / 2
    bounds = {name: np.quantile(values, [tail, 1 - tail]) for name, values in drawn.items()}
    return {
        name: Interval(float(value), float(bounds[name][0]), float(bounds[name][1]))
        for name, value in observed.items()
    }
