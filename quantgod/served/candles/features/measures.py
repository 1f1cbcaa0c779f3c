"""Figures that several families of features, and the regimes, are made of."""

from __future__ import annotations

import numpy as np

from ...features.scale import SIGMA_FLOOR, log_returns
from ...rolling import Floats, deviation, ratio, rolling
from ...technical import autocorrelation

USUAL = 30
"""Rows of returns whose deviation is the unit of most features."""


def unit(close: Floats) -> Floats:
    """Return the standard deviation of the last `USUAL` log returns, at least `SIGMA_FLOOR`."""
    return np.maximum(deviation(log_returns(close), USUAL), SIGMA_FLOOR)


def from_own(window: Floats) -> Floats:
    """Return the prices of each window over its newest, less 1: exact zeros where nothing moved."""
    return window / window[:, -1:] - 1


def mean_gap(close: Floats, rows: int) -> Floats:
    """Return ln(close / simple average of the last rows)."""
    return -np.log1p(rolling(close, rows, lambda window: from_own(window).mean(axis=1)))


def band(close: Floats, rows: int) -> tuple[Floats, Floats]:
    """Return (close - average) / close and the deviation over the close, as Bollinger has them."""

    def spread(window: Floats) -> Floats:
        away = from_own(window)
        squares = np.square(away - away.mean(axis=1, keepdims=True))
        return np.asarray(np.sqrt(squares.mean(axis=1)))

    middle = rolling(close, rows, lambda window: -from_own(window).mean(axis=1))
    return middle, rolling(close, rows, spread)


def rank(values: Floats, rows: int) -> Floats:
    """Return the share of the last rows that lie below, less that above: from -1 to 1."""
    return rolling(values, rows, lambda window: np.sign(window[:, -1:] - window).mean(axis=1))


def efficiency(returns: Floats, rows: int) -> Floats:
    """Return Kaufman's efficiency ratio with its sign: the way made over the way walked."""
    return rolling(returns, rows, lambda r: ratio(r.sum(axis=1), np.abs(r).sum(axis=1)))


def variance_ratio(returns: Floats, rows: int, together: int) -> Floats:
    """Return Lo and MacKinlay's (1988) variance ratio of so many returns together.

    It is below 1 where returns undo each other (a mean-reverting market has negative
    autocorrelation), above 1 where they go on, and 1 where nothing moves.
    """

    def figure(window: Floats) -> Floats:
        ratios = np.ones(len(window))
        for lag in range(1, together):
            ratios += 2 * (1 - lag / together) * autocorrelation(window, lag)
        return ratios

    return rolling(returns, rows, figure)
