"""Formulas of technical analysis and of returns, each over a window in which it starts anew.

They say what TA-Lib says of that window. Prices and volumes are (rows,), oldest first; figures are
too, NaN where there is less past than they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from .rolling import (
    MEMORY,
    Floats,
    before,
    dot,
    exponential,
    highest,
    lowest,
    mean,
    nested,
    padded,
    prefix_smoothing,
    ratio,
    rolling,
    sliding,
    smoothing,
    summed,
    trend,
    wilder,
)

FEW = 32
"""Rows up to which numbers one by one are faster than arrays of them."""


def typical(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return the typical price: the mean of the three."""
    return (high + low + close) / 3


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return the range with the close before it (Wilder, 1978), NaN in the first row."""
    last = before(close, 1)
    return np.maximum(high, last) - np.minimum(low, last)


def atr(high: Floats, low: Floats, close: Floats, period: int) -> Floats:
    """Return the average true range."""
    return dot(true_range(high, low, close), wilder(period))


def ema(values: Floats, period: int) -> Floats:
    """Return the exponential average."""
    return dot(values, exponential(period))


def rsi(close: Floats, period: int) -> Floats:
    """Return the relative strength index, 0 to 100; 50 where nothing moved."""
    change = close - before(close, 1)
    gain = dot(np.maximum(change, 0), wilder(period))
    loss = dot(np.maximum(-change, 0), wilder(period))
    return np.where(gain + loss == 0, 50.0, 100 * ratio(gain, gain + loss))


def kama(close: Floats, period: int = 10) -> Floats:
    """Return Kaufman's adaptive average, fast 2 and slow 30; it begins with the tenth close."""
    path = rolling(np.abs(close - before(close, 1)), period, lambda steps: steps.sum(axis=1))
    moved = np.abs(close - before(close, period))
    efficiency = np.where(path == 0, 1.0, ratio(moved, path))
    pace = np.square(efficiency * (2 / 3 - 2 / 31) + 2 / 31)
    paces = sliding(pace, MEMORY)[:, period:]
    closes = sliding(close, MEMORY)[:, period - 1 :]
    if len(paces) <= FEW:
        walked = [_walked(*each) for each in zip(paces.tolist(), closes.tolist(), strict=True)]
        return padded(np.array(walked, dtype=np.float64), len(close))
    average = closes[:, 0].copy()
    for row in range(paces.shape[1]):
        average += paces[:, row] * (closes[:, row + 1] - average)
    return padded(average, len(close))


def _walked(paces: list[float], closes: list[float]) -> float:
    """Return one adaptive average, by the same sums as many at a time."""
    average, *rest = closes
    for pace, close in zip(paces, rest, strict=True):
        average += pace * (close - average)
    return average


def directional(
    high: Floats, low: Floats, close: Floats, period: int, rows: int = MEMORY
) -> tuple[Floats, Floats]:
    """Return +DI and -DI (Wilder, 1978) over so many rows, 0 to 100."""
    up, down = high - before(high, 1), before(low, 1) - low
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    weights = _wilder_sum(period, rows - 1)
    whole = dot(true_range(high, low, close), weights)
    return 100 * ratio(dot(plus, weights), whole), 100 * ratio(dot(minus, weights), whole)


def _wilder_sum(period: int, rows: int) -> Floats:
    """Return weights of Wilder's running sum, which begins as that of `period - 1` values."""
    kept = 1 - 1 / period
    ages = np.arange(rows)[::-1]
    return np.asarray(kept ** np.minimum(ages, rows - period + 1))


@cache
def macd_weights() -> tuple[Floats, Floats]:
    """Return weights of MACD(12, 26) and of its signal(9); both averages begin at the 26th row."""
    fast = np.zeros((MEMORY, MEMORY))
    fast[14:, 14:] = prefix_smoothing(2 / 13, 12, MEMORY - 14)
    line = fast - prefix_smoothing(2 / 27, 26)
    return line[-1], nested(2 / 10, 9, line)[-1]


@cache
def nested_averages() -> tuple[Floats, Floats]:
    """Return weights of DEMA(20), and prefix weights of the threefold EMA(15)."""
    single = prefix_smoothing(2 / 21, 20)
    double = 2 * single[-1] - nested(2 / 21, 20, single)[-1]
    once = prefix_smoothing(2 / 16, 15)
    return double, nested(2 / 16, 15, nested(2 / 16, 15, once))


def forecast_weights(length: int) -> Floats:
    """Return weights of the least-squares line's value one row ahead."""
    return np.asarray(1 / length + trend(length) * (length + 1) / 2)


def rows_since(values: Floats, length: int, extreme: object) -> Floats:
    """Return how many rows ago the newest extreme of a window was."""
    return rolling(values, length, lambda window: extreme(window[:, ::-1], axis=1).astype(float))  # type: ignore[operator]


def stochastic(high: Floats, low: Floats, close: Floats, rows: int) -> Floats:
    """Return where the close lies in the range of the last rows, 0 to 100; 50 without a range."""
    top, bottom = highest(high, rows), lowest(low, rows)
    return np.where(top == bottom, 50.0, 100 * ratio(close - bottom, top - bottom))


def cci(price: Floats, rows: int) -> Floats:
    """Return Lambert's commodity channel index of typical prices."""

    def figure(window: Floats) -> Floats:
        middle = window.mean(axis=1, keepdims=True)
        return ratio(window[:, -1] - middle[:, 0], 0.015 * np.abs(window - middle).mean(axis=1))

    return rolling(price, rows, figure)


def ultimate(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return Williams' ultimate oscillator of 7, 14 and 28 rows."""
    pressure = close - np.minimum(low, before(close, 1))
    whole = true_range(high, low, close)
    parts = {rows: ratio(mean(pressure, rows), mean(whole, rows)) for rows in (7, 14, 28)}
    flat = mean(whole, 28) == 0
    return np.where(flat, 50.0, 100 * (4 * parts[7] + 2 * parts[14] + parts[28]) / 7)


def money_flow(price: Floats, activity: Floats, rows: int) -> Floats:
    """Return the money flow index of typical prices, 0 to 100; 50 where nothing moved."""
    change, money = price - before(price, 1), price * activity
    rising = mean(np.where(change > 0, money, 0.0), rows)
    falling = mean(np.where(change < 0, money, 0.0), rows)
    return np.where(rising + falling == 0, 50.0, 100 * ratio(rising, rising + falling))


def on_steps(weights: Floats) -> Floats:
    """Return weights on steps for weights on a sum; where it began plays no part."""
    return summed(weights)[1:]


def chaikin_weights() -> Floats:
    """Return weights of Chaikin's oscillator (3, 10) on the steps of accumulation."""
    fast, slow = smoothing(2 / 4, 1), smoothing(2 / 11, 1)
    return summed(fast - slow)


def place(close: Floats, high: Floats, low: Floats, rows: int) -> Floats:
    """Return where the close lies in the range of the last rows, from -0.5 to 0.5."""
    top, bottom = highest(high, rows), lowest(low, rows)
    return np.where(top == bottom, 0.0, ratio(close - bottom, top - bottom) - 0.5)


def parkinson(high: Floats, low: Floats, rows: int) -> Floats:
    """Return volatility a row by ranges (Parkinson, 1980)."""
    return np.asarray(np.sqrt(mean(np.square(np.log(high / low)), rows) / (4 * np.log(2))))


def garman_klass(columns: Mapping[str, Floats], rows: int) -> Floats:
    """Return volatility a row by ranges and bodies (Garman and Klass, 1980), at least 0."""
    width = np.square(np.log(columns["high"] / columns["low"]))
    body = np.square(np.log(columns["close"] / columns["open"]))
    return np.sqrt(np.maximum(mean(width / 2 - (2 * np.log(2) - 1) * body, rows), 0))


def skewness(window: Floats) -> Floats:
    """Return the skewness of each window; 0 where it is flat."""
    away = window - window.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(away).mean(axis=1))
    return ratio((away**3).mean(axis=1), spread**3)


def autocorrelation(window: Floats, lag: int = 1) -> Floats:
    """Return each window's correlation with itself so many rows ago; 0 where it is flat."""
    away = window - window.mean(axis=1, keepdims=True)
    return ratio((away[:, lag:] * away[:, :-lag]).sum(axis=1), np.square(away).sum(axis=1))
