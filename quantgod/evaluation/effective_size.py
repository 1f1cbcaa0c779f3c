"""How many independent values a series equals."""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Floats, Integers
from quantgod.dataset.splits import uniqueness
from quantgod.dataset.windows import Samples


def effective_rows(time_ms: Integers, label_end_ms: Integers) -> float:
    """How many labels that share no minute the rows (n,) equal; rows side by side count once.

    Args:
        time_ms: the rows' minutes, epoch milliseconds, in order of time.
        label_end_ms: the last minutes of their labels.
    """
    unused = np.zeros(len(time_ms), np.int64)
    taken = Samples(unused, time_ms, label_end_ms, unused, unused, unused, unused)
    return float(uniqueness(taken).sum())


def effective_size(series: Floats) -> float:
    """How many independent values fix the mean of a series as well: n / (1 + 2 sum of rho_k).

    Autocorrelations rho_k are summed in pairs for as long as a pair is positive (the initial
    positive sequence of Geyer, 1992, "Practical Markov chain Monte Carlo"). At most n; a constant
    series: n. For labels, `effective_rows` is a count without an estimate.
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
