"""Thirty-seven indicators, as TA-Lib has them over a window in which they start anew.

"Volume" is the number of book messages a minute, since a book feed has no trades; such features end
in `_act`. TA-Lib's CMO is smoothed as its RSI is, so that `cmo_14` says what `rsi_14` does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..rolling import (
    MEMORY,
    Floats,
    before,
    deviation,
    dot,
    highest,
    log_ratio,
    lowest,
    mean,
    ratio,
    rolling,
    smoothing,
    trend,
)
from ..technical import (
    atr,
    cci,
    chaikin_weights,
    directional,
    ema,
    forecast_weights,
    kama,
    macd_weights,
    money_flow,
    nested_averages,
    on_steps,
    rows_since,
    rsi,
    stochastic,
    true_range,
    typical,
    ultimate,
)
from .scale import log_returns, newest, sigma_of, table

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


def _trend_strength(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    plus, minus = directional(high, low, close, 14)
    balance = ratio(plus - minus, plus + minus)
    return {"adx_14": dot(np.abs(balance), smoothing(1 / 14, 14)), "di_14": balance}


def _averages(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    averages = {period: ema(close, period) for period in (9, 20, 50)}
    sigma, range_14 = sigma_of(close, 60), atr(high, low, close, 14)
    line, signal = macd_weights()
    double, triple = nested_averages()
    gaps = {
        f"ema_gap_{period}": (close - average) / (close * sigma * np.sqrt(period))
        for period, average in averages.items()
    }
    return gaps | {
        "ema_cross": ratio(averages[9] - averages[50], range_14),
        "macd": ratio(dot(close, line), range_14),
        "macd_hist": ratio(dot(close, line - signal), range_14),
        "aroon_25": (rows_since(low, 26, np.argmin) - rows_since(high, 26, np.argmax)) / 25,
        "slope_20": ratio(dot(close, trend(20)), range_14),
        "kama_gap": ratio(close - kama(close), range_14),
        "dema_gap": ratio(close - dot(close, double), range_14),
        "trix_15": (dot(close, triple[-1]) / dot(close, triple[-2]) - 1) / sigma,
        "tsf_gap": ratio(close - dot(close, forecast_weights(14)), range_14),
    }


def _oscillators(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    strength = {period: rsi(close, period) for period in (7, 14, 28)}
    slow_k = mean(stochastic(high, low, close, 14), 3)
    return {f"rsi_{period}": (found - 50) / 50 for period, found in strength.items()} | {
        "stoch_k": (slow_k - 50) / 50,
        "stoch_d": (mean(slow_k, 3) - 50) / 50,
        "stochrsi": (stochastic(strength[14], strength[14], strength[14], 14) - 50) / 50,
        "cci_20": cci(typical(high, low, close), 20) / 200,
        "cmo_14": (strength[14] - 50) / 50,
        "ultosc": (ultimate(high, low, close) - 50) / 50,
        "rsi_move": (strength[14] - before(strength[14], 5)) / 50,
    }


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
    force = ema(log_returns(close) * activity, 13)
    return {
        "mfi_act": (money_flow(typical(high, low, close), activity, 14) - 50) / 50,
        "cmf_act": ratio(mean(flow, 20), usual),
        "obv_act": ratio(dot(np.sign(change) * activity, on_steps(trend(20))), usual),
        "vwap_gap": (close - vwap) / (close * sigma * np.sqrt(60)),
        "adosc_act": ratio(dot(flow, chaikin_weights()), usual),
        "force_act": ratio(force, sigma * usual),
    }
