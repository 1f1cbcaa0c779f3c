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
from quantgod.evaluation.metrics import checked, classification_report

HORIZONS_PER_BLOCK: Final = 3

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
    """Intervals by model and score, and of each model's score minus the first model's."""

    models: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]


def intervals(
    statistics: Statistics,
    rows: int,
    block: int,
    rounds: int,
    seed: int,
    level: float = 0.95,
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
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return {
        name: Interval(value, float(low[place]), float(high[place]))
        for place, (name, value) in enumerate(observed.items())
    }


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
    is the one that the others are compared with.

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
    known = {name: checked(target, given) for name, given in models.items()}
    first = next(iter(known))

    def statistics(index: Integers) -> dict[str, float]:
        reports = {
            name: classification_report(truth[index], given[index], decision_weights.get(name))
            for name, (truth, given) in known.items()
        }
        return _flat(reports) | _flat(_differences(reports, first), "-")

    found = intervals(statistics, len(target), block, rounds, seed, progress=progress)
    others = [name for name in known if name != first]
    return Comparison(
        {name: _of(found, f"{name}/") for name in known},
        {name: _of(found, f"-{name}/") for name in others},
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
    if not 0 < block <= rows:
        raise ValueError(f"a block of {block} rows does not fit {rows} rows")
    rng = np.random.default_rng(seed)
    within = np.arange(block)
    for _ in range(rounds):
        starts = rng.integers(0, rows - block + 1, size=math.ceil(rows / block))
        yield (starts[:, None] + within).ravel()[:rows]


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


def _differences(
    reports: Mapping[str, Mapping[str, float]], first: str
) -> dict[str, dict[str, float]]:
    return {
        name: {score: value - reports[first][score] for score, value in report.items()}
        for name, report in reports.items()
        if name != first
    }


def _flat(reports: Mapping[str, Mapping[str, float]], sign: str = "") -> dict[str, float]:
    return {
        f"{sign}{name}/{score}": value
        for name, report in reports.items()
        for score, value in report.items()
    }


def _of(found: Mapping[str, Interval], prefix: str) -> dict[str, Interval]:
    return {
        name.removeprefix(prefix): interval
        for name, interval in found.items()
        if name.startswith(prefix)
    }
