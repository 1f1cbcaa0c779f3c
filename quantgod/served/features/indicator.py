"""Thirty-seven indicators, as TA-Lib has them over a window in which they start anew.

"Volume" is the number of book messages a minute, since a book feed has no trades; such features end
in `_act`. TA-Lib's CMO is smoothed as its RSI is, so that `cmo_14` says what `rsi_14` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from ..rolling import (
    MEMORY,
    Floats,
    before,
    deviation,
    dot,
    exponential,
    highest,
    log_ratio,
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
from .scale import minute_returns, newest, sigma_of, table

NAMES = (
    "ema_gap_9", "ema_gap_20", "ema_gap_50", "ema_cross", "macd", "macd_hist", "adx_14", "di_14",
    "aroon_25", "slope_20", "kama_gap", "dema_gap", "trix_15", "rsi_7", "rsi_14", "rsi_28",
    "stoch_k", "stoch_d", "stochrsi", "cci_20", "cmo_14", "ultosc", "tsf_gap", "rsi_move",
    "bb_pos", "bb_width", "atr_ratio", "keltner", "donchian", "squeeze", "chop_14", "mfi_act",
    "cmf_act", "obv_act", "vwap_gap", "adosc_act", "force_act",
)  # fmt: skip
NEEDS = ("high", "low", "close", "messages")
REACH = 2 * MEMORY
"""Of the ADX: an average over `MEMORY` rows of what itself averages over as many."""
NEEDED = MEMORY + 14
"""Rows of oscillators: the stochastic of an RSI looks at 14 of them."""
LEAST = MEMORY + 1
"""Rows of all others: of changes there is one less."""
FEW = 32
"""Rows up to which numbers one by one are faster than arrays of them."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the indicators, (rows, 37). Ratios are bounded or 0 where nothing moved."""
    high, low, close, messages = (
        newest(columns, REACH, LEAST)[name] for name in ("high", "low", "close", "messages")
    )
    recent = newest(columns, REACH, NEEDED)
    found = {
        **_trend_strength(columns["high"], columns["low"], columns["close"]),
        **_averages(high, low, close),
        **_oscillators(recent["high"], recent["low"], recent["close"]),
        **_bands(high, low, close),
        **_with_activity(high, low, close, messages),
    }
    return table(found, NAMES, REACH, len(columns["close"]))


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


def directional(high: Floats, low: Floats, close: Floats, period: int) -> tuple[Floats, Floats]:
    """Return +DI and -DI (Wilder, 1978), 0 to 100."""
    up, down = high - before(high, 1), before(low, 1) - low
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    weights = _wilder_sum(period)
    whole = dot(true_range(high, low, close), weights)
    return 100 * ratio(dot(plus, weights), whole), 100 * ratio(dot(minus, weights), whole)


def _wilder_sum(period: int) -> Floats:
    """Return weights of Wilder's running sum, which begins as that of `period - 1` values."""
    rows, kept = MEMORY - 1, 1 - 1 / period
    ages = np.arange(rows)[::-1]
    return np.asarray(kept ** np.minimum(ages, rows - period + 1))


def _trend_strength(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    plus, minus = directional(high, low, close, 14)
    balance = ratio(plus - minus, plus + minus)
    return {"adx_14": dot(np.abs(balance), smoothing(1 / 14, 14)), "di_14": balance}


def _averages(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    averages = {period: ema(close, period) for period in (9, 20, 50)}
    sigma, range_14 = sigma_of(close, 60), atr(high, low, close, 14)
    line, signal = _macd()
    double, triple = _nested_averages()
    gaps = {
        f"ema_gap_{period}": (close - average) / (close * sigma * np.sqrt(period))
        for period, average in averages.items()
    }
    return gaps | {
        "ema_cross": ratio(averages[9] - averages[50], range_14),
        "macd": ratio(dot(close, line), range_14),
        "macd_hist": ratio(dot(close, line - signal), range_14),
        "aroon_25": (_rows_since(low, 26, np.argmin) - _rows_since(high, 26, np.argmax)) / 25,
        "slope_20": ratio(dot(close, trend(20)), range_14),
        "kama_gap": ratio(close - kama(close), range_14),
        "dema_gap": ratio(close - dot(close, double), range_14),
        "trix_15": (dot(close, triple[-1]) / dot(close, triple[-2]) - 1) / sigma,
        "tsf_gap": ratio(close - dot(close, _forecast(14)), range_14),
    }


@cache
def _macd() -> tuple[Floats, Floats]:
    """Return weights of MACD(12, 26) and of its signal(9); both averages begin at the 26th row."""
    fast = np.zeros((MEMORY, MEMORY))
    fast[14:, 14:] = prefix_smoothing(2 / 13, 12, MEMORY - 14)
    line = fast - prefix_smoothing(2 / 27, 26)
    return line[-1], nested(2 / 10, 9, line)[-1]


@cache
def _nested_averages() -> tuple[Floats, Floats]:
    """Return weights of DEMA(20), and prefix weights of the threefold EMA(15)."""
    single = prefix_smoothing(2 / 21, 20)
    double = 2 * single[-1] - nested(2 / 21, 20, single)[-1]
    once = prefix_smoothing(2 / 16, 15)
    return double, nested(2 / 16, 15, nested(2 / 16, 15, once))


def _forecast(length: int) -> Floats:
    """Return weights of the least-squares line's value one row ahead."""
    return np.asarray(1 / length + trend(length) * (length + 1) / 2)


def _rows_since(values: Floats, length: int, place: object) -> Floats:
    """Return how many rows ago the newest extreme of a window was."""
    return rolling(values, length, lambda window: place(window[:, ::-1], axis=1).astype(float))  # type: ignore[operator]


def _oscillators(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    strength = {period: rsi(close, period) for period in (7, 14, 28)}
    stochastic = mean(_stochastic(high, low, close, 14), 3)
    return {f"rsi_{period}": (found - 50) / 50 for period, found in strength.items()} | {
        "stoch_k": (stochastic - 50) / 50,
        "stoch_d": (mean(stochastic, 3) - 50) / 50,
        "stochrsi": (_stochastic(strength[14], strength[14], strength[14], 14) - 50) / 50,
        "cci_20": _cci(typical(high, low, close), 20) / 200,
        "cmo_14": (strength[14] - 50) / 50,
        "ultosc": (_ultimate(high, low, close) - 50) / 50,
        "rsi_move": (strength[14] - before(strength[14], 5)) / 50,
    }


def _stochastic(high: Floats, low: Floats, close: Floats, rows: int) -> Floats:
    top, bottom = highest(high, rows), lowest(low, rows)
    return np.where(top == bottom, 50.0, 100 * ratio(close - bottom, top - bottom))


def _cci(typical: Floats, rows: int) -> Floats:
    """Return Lambert's commodity channel index."""

    def figure(window: Floats) -> Floats:
        middle = window.mean(axis=1, keepdims=True)
        return ratio(window[:, -1] - middle[:, 0], 0.015 * np.abs(window - middle).mean(axis=1))

    return rolling(typical, rows, figure)


def _ultimate(high: Floats, low: Floats, close: Floats) -> Floats:
    """Return Williams' ultimate oscillator of 7, 14 and 28 rows."""
    pressure = close - np.minimum(low, before(close, 1))
    whole = true_range(high, low, close)
    parts = {rows: ratio(mean(pressure, rows), mean(whole, rows)) for rows in (7, 14, 28)}
    flat = mean(whole, 28) == 0
    return np.where(flat, 50.0, 100 * (4 * parts[7] + 2 * parts[14] + parts[28]) / 7)


def _bands(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    ranges = {period: atr(high, low, close, period) for period in (14, 20, 60)}
    bollinger = 4 * deviation(close, 20, ddof=0)
    tall = highest(high, 14) - lowest(low, 14)
    walked = rolling(true_range(high, low, close), 14, lambda window: window.sum(axis=1))
    chop = 100 * log_ratio(walked, tall) / np.log(14)
    return {
        "bb_pos": ratio(close - mean(close, 20), bollinger),
        "bb_width": log_ratio(bollinger, mean(bollinger, 60)),
        "atr_ratio": log_ratio(ranges[14], ranges[60]),
        "keltner": ratio(close - ema(close, 20), 2 * ranges[20]),
        "donchian": log_ratio(highest(high, 20) - lowest(low, 20), ranges[20]),
        "squeeze": log_ratio(bollinger, 4 * ranges[20]),
        "chop_14": (chop - 50) / 50,
    }


def _with_activity(high: Floats, low: Floats, close: Floats, activity: Floats) -> dict[str, Floats]:
    usual, sigma = mean(activity, 20), sigma_of(close, 60)
    width, change = high - low, close - before(close, 1)
    flow = ratio((close - low) - (high - close), width) * activity
    together = ratio(dot(close * activity, np.ones(60)), dot(activity, np.ones(60)))
    vwap = np.where(together == 0, close, together)
    force = ema(minute_returns(close) * activity, 13)
    return {
        "mfi_act": (_money_flow(typical(high, low, close), activity, 14) - 50) / 50,
        "cmf_act": ratio(mean(flow, 20), usual),
        "obv_act": ratio(dot(np.sign(change) * activity, _on_steps(trend(20))), usual),
        "vwap_gap": (close - vwap) / (close * sigma * np.sqrt(60)),
        "adosc_act": ratio(dot(flow, _chaikin()), usual),
        "force_act": ratio(force, sigma * usual),
    }


def _money_flow(typical: Floats, activity: Floats, rows: int) -> Floats:
    """Return the money flow index, 0 to 100; 50 where nothing moved."""
    change, money = typical - before(typical, 1), typical * activity
    rising = mean(np.where(change > 0, money, 0.0), rows)
    falling = mean(np.where(change < 0, money, 0.0), rows)
    return np.where(rising + falling == 0, 50.0, 100 * ratio(rising, rising + falling))


def _on_steps(weights: Floats) -> Floats:
    """Return weights on steps for weights on a sum; where it began plays no part."""
    return summed(weights)[1:]


def _chaikin() -> Floats:
    """Return weights of Chaikin's oscillator (3, 10) on the steps of accumulation."""
    fast, slow = smoothing(2 / 4, 1), smoothing(2 / 11, 1)
    return summed(fast - slow)
