"""Sixteen oscillators, each from -1 to 1 or near it, and 0 where nothing moves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import table
from ...rolling import MEMORY, Floats, before, dot, highest, lowest, mean, ratio, rolling, smoothing
from ...technical import (
    directional,
    nested_averages,
    rows_since,
    rsi,
    stochastic,
    typical,
    ultimate,
)
from .measures import from_own, unit

STRENGTHS = (7, 14, 21)
RATES = (12, 25)
HALF = MEMORY // 2
"""Rows of the directional indicators, and of their average: together they fit in `MEMORY`."""

NAMES = (
    *(f"rsi_{period}" for period in STRENGTHS), "rsi_move", "stochrsi", "stoch_k", "stoch_d",
    "willr_14", *(f"roc_{rows}" for rows in RATES), "cci_20", "adx_14", "di_14", "aroon_25",
    "ultosc", "trix_15",
)  # fmt: skip
NEEDS = ("high", "low", "close")
REACH = MEMORY + 13
"""The stochastic of an RSI looks at 14 of them."""


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 16)."""
    high, low, close = (columns[name] for name in NEEDS)
    sigma, place = unit(close), stochastic(high, low, close, 14)
    slow = mean(place, 3)
    found = {
        **_strength(close),
        "stoch_k": _centred(slow),
        "stoch_d": _centred(mean(slow, 3)),
        "willr_14": _centred(place),
        **{f"roc_{n}": (close / before(close, n) - 1) / (sigma * np.sqrt(n)) for n in RATES},
        "cci_20": _channel(typical(high, low, close), 20) / 200,
        **_direction(high, low, close),
        "aroon_25": (rows_since(low, 26, np.argmin) - rows_since(high, 26, np.argmax)) / 25,
        "ultosc": _centred(ultimate(high, low, close)),
        "trix_15": _threefold(close) / sigma,
    }
    return table(found, NAMES, REACH, len(close))


def _centred(percent: Floats) -> Floats:
    return (percent - 50) / 50


def _strength(close: Floats) -> dict[str, Floats]:
    found = {period: rsi(close, period) for period in STRENGTHS}
    # Where prices stand still gains and losses fade alike, and an RSI moves by rounding alone.
    moved = highest(close, 14) > lowest(close, 14)
    place = stochastic(found[14], found[14], found[14], 14)
    return {f"rsi_{period}": _centred(value) for period, value in found.items()} | {
        "rsi_move": (found[14] - before(found[14], 5)) / 50,
        "stochrsi": np.where(moved, _centred(place), 0.0),
    }


def _direction(high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    plus, minus = directional(high, low, close, 14, HALF)
    balance = ratio(plus - minus, plus + minus)
    return {"adx_14": dot(np.abs(balance), smoothing(1 / 14, 14, HALF)), "di_14": balance}


def _threefold(close: Floats) -> Floats:
    """Return how the threefold EMA(15) moved in a row, as a share."""
    _, triple = nested_averages()
    return dot(close, triple[-1]) / dot(close, triple[-2]) - 1


def _channel(price: Floats, rows: int) -> Floats:
    """Return Lambert's commodity channel index, by prices over the newest."""

    def figure(window: Floats) -> Floats:
        away = from_own(window)
        middle = away.mean(axis=1, keepdims=True)
        return ratio(-middle[:, 0], 0.015 * np.abs(away - middle).mean(axis=1))

    return rolling(price, rows, figure)
