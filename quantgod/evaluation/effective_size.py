"""Compute the number of independent values that a series is worth."""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.dataset.samples import Samples
from quantgod.dataset.splits import uniqueness


def effective_rows(time_ms: Integers, label_end_ms: Integers) -> float:
    """Return the number of non-overlapping labels that rows (n,) are worth.

    Args:
        time_ms: the rows' minutes, epoch milliseconds, in order of time.
        label_end_ms: the last minutes of their labels.
    """
    return float(uniqueness(Samples.of_times(time_ms, label_end_ms, time_ms)).sum())


def effective_size(series: Floats) -> float:
    """Return the effective sample size of a series: n / (1 + 2 sum of rho_k).

    Autocorrelations rho_k are summed in pairs as long as a pair is positive (initial positive
    sequence of Geyer, 1992, "Practical Markov chain Monte Carlo"). The result is at most n, and n
    for a constant series. For labels, `effective_rows` counts without an estimate.
    """
    count = len(series)
    if not count or np.ptp(series) == 0:
        return float(count)
    power = np.abs(np.fft.rfft(series - series.mean(), 2 * count)) ** 2
    covariance = np.fft.irfft(power)[:count]
    correlation = covariance / covariance[0]
    pairs = correlation[: count // 2 * 2].reshape(-1, 2).sum(axis=1)
    ended = np.flatnonzero(pairs <= 0)
    kept = pairs[: ended[0]] if len(ended) else pairs
    # Every pair has two lags that count twice; the first has lag 0, which counts once.
    return float(count / max(2 * kept.sum() - 1, 1.0))
