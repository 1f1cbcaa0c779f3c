"""Figures of the last rows, each from a window of its own.

No value knows how long the series is, or where it began: a row and the `length - 1` before it give
the same bits in ten years of rows, in eight hundred posted ones, and alone. So there are no running
sums, and a recursive average is one dot product over a window in which it starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

MEMORY = 240
"""Rows in which a recursive average starts anew."""

_AT_ONCE = 2**20
"""Numbers of windows in memory at a time."""

Floats = npt.NDArray[np.float64]


def rolling(values: Floats, length: int, figure: Callable[[Floats], Floats]) -> Floats:
    """Return a figure of each row's window.

    Args:
        values: (rows,).
        length: rows of a window; it ends with the row itself.
        figure: takes windows (rows, length), oldest value first; gives (rows,).

    Returns:
        (rows,), NaN where there is less past than a window.
    """
    found = np.full(len(values), np.nan)
    if len(values) < length:
        return found
    windows, step = _windows(values, length), max(1, _AT_ONCE // length)
    for first in range(0, len(windows), step):
        # Contiguous, so that sums add in the same order for one window and for many.
        part = np.ascontiguousarray(windows[first : first + step])
        found[length - 1 + first : length - 1 + first + len(part)] = figure(part)
    return found


def dot(values: Floats, weights: Floats) -> Floats:
    """Return the weighted sum of each row's window; the last weight is the row's own."""
    return rolling(values, len(weights), lambda window: (window * weights).sum(axis=1))


def mean(values: Floats, length: int) -> Floats:
    """Return the mean of each row's window."""
    return rolling(values, length, lambda window: window.sum(axis=1) / length)


def deviation(values: Floats, length: int, ddof: int = 1) -> Floats:
    """Return the standard deviation of each row's window."""

    def figure(window: Floats) -> Floats:
        squares = np.square(window - window.mean(axis=1, keepdims=True)).sum(axis=1)
        return np.asarray(np.sqrt(squares / (length - ddof)))

    return rolling(values, length, figure)


def highest(values: Floats, length: int) -> Floats:
    """Return the largest value of each row's window."""
    return rolling(values, length, lambda window: window.max(axis=1))


def lowest(values: Floats, length: int) -> Floats:
    """Return the smallest value of each row's window."""
    return rolling(values, length, lambda window: window.min(axis=1))


def correlation(one: Floats, other: Floats, length: int) -> Floats:
    """Return the correlation of two series over each row's window; 0 where one is flat."""
    a, b = (sliding(series, length) for series in (one, other))
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    together = (a * b).sum(axis=1)
    apart = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return padded(ratio(together, apart), len(one))


def sliding(values: Floats, length: int) -> Floats:
    """Return a copy of all full windows, (rows - length + 1, length); none for too few rows."""
    if len(values) < length:
        return np.empty((0, length))
    return np.ascontiguousarray(_windows(values, length))


def _windows(values: Floats, length: int) -> Floats:
    """Return a view of all full windows.

    Numpy's own function takes many times as long to make it, and a live minute needs a hundred.
    """
    values = np.ascontiguousarray(values)
    shape, strides = (len(values) - length + 1, length), values.strides * 2
    windows: Floats = np.ndarray(shape, values.dtype, values, 0, strides)
    windows.flags.writeable = False
    return windows


def padded(found: Floats, rows: int) -> Floats:
    """Return figures of the last rows with NaN for those before."""
    return np.concatenate([np.full(rows - len(found), np.nan), found])


def before(values: Floats, rows: int) -> Floats:
    """Return the values of so many rows ago, NaN where there were none."""
    moved = np.full(len(values), np.nan)
    moved[rows:] = values[: max(len(values) - rows, 0)]
    return moved


def ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, and 0 where whole is 0."""
    shares: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
    return shares


def log_ratio(part: Floats, whole: Floats) -> Floats:
    """Return ln(part / whole) within ±ln(1000), and 0 where both are 0; neither may be negative."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(part) - np.log(whole)
    found[(part == 0) & (whole == 0)] = 0.0
    return np.asarray(np.clip(found, -np.log(1000), np.log(1000)))


@cache
def smoothing(alpha: float, seed: int, rows: int = MEMORY) -> Floats:
    """Return weights of a recursive average that starts anew in each window, oldest first.

    It begins with the mean of the first `seed` values and goes on by `e <- alpha x + (1 - alpha) e`
    (TA-Lib's start). Written out, the value of age k weighs `alpha (1 - alpha)^k`, and each of the
    first `(1 - alpha)^(rows - seed) / seed`.
    """
    last: Floats = prefix_smoothing(alpha, seed, rows)[-1]
    return last


@cache
def prefix_smoothing(alpha: float, seed: int, rows: int = MEMORY) -> Floats:
    """Return the same for each prefix of a window, (rows, rows); NaN where it has not begun."""
    weights = np.full((rows, rows), np.nan)
    weights[seed - 1] = 0.0
    weights[seed - 1, :seed] = 1 / seed
    for row in range(seed, rows):
        weights[row] = (1 - alpha) * weights[row - 1]
        weights[row, row] = alpha
    return weights


def exponential(period: int, rows: int = MEMORY) -> Floats:
    """Return weights of an exponential average: alpha 2 / (period + 1)."""
    return smoothing(2 / (period + 1), period, rows)


def wilder(period: int, rows: int = MEMORY - 1) -> Floats:
    """Return weights of Wilder's average: alpha 1 / period. Of changes there is one row less."""
    return smoothing(1 / period, period, rows)


def nested(outer_alpha: float, seed: int, inner: Floats) -> Floats:
    """Return prefix weights of an average of averages: `inner` as `prefix_smoothing` gives them."""
    begun = inner[~np.isnan(inner[:, 0])]
    outer = prefix_smoothing(outer_alpha, seed, len(begun))
    found = np.full(inner.shape, np.nan)
    found[len(inner) - len(begun) + seed - 1 :] = outer[seed - 1 :] @ begun
    return found


def trend(length: int) -> Floats:
    """Return weights of the slope of the least-squares line through a window."""
    away = np.arange(length) - (length - 1) / 2
    return np.asarray(away / np.square(away).sum())


def summed(weights: Floats) -> Floats:
    """Return weights on the steps of a running sum that equal `weights` on the sum itself."""
    return np.cumsum(weights[::-1])[::-1].copy()
