"""Forty features of returns, of the newest candle, and of its place among those before it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...features.scale import log_returns, table
from ...rolling import Floats, before, highest, log_ratio, lowest, mean, ratio, rolling
from ...technical import place, typical
from .measures import unit

RETURNS = (1, 2, 3, 5, 7, 10, 14, 20, 30)
LONG = (60, 90, 120, 180)
LAGS = (1, 2, 3, 4)
PLACES = (7, 14, 30, 90, 200)
EXTREMES = (30, 90, 200)
RUN = 10
"""Rows within which a run of equal signs is counted."""

NAMES = (
    *(f"ret_{rows}" for rows in RETURNS), *(f"mom_{rows}" for rows in LONG),
    *(f"lag_{rows}" for rows in LAGS), "body", "upper", "lower", "body_sigma", "range_sigma",
    "range_rel", "gap_open", "in_prev", "typical_gap", *(f"pos_{rows}" for rows in PLACES),
    *(f"from_high_{rows}" for rows in EXTREMES), *(f"from_low_{rows}" for rows in EXTREMES),
    "up_10", "up_30", "streak",
)  # fmt: skip
NEEDS = ("open", "high", "low", "close")
REACH = 200


def compute(columns: Mapping[str, Floats]) -> Floats:
    """Return the features, (rows, 40)."""
    high, low, close = (columns[name] for name in ("high", "low", "close"))
    returns, sigma = log_returns(close), unit(close)
    found = {
        **_moves(close, returns, sigma),
        **_candle(columns, sigma),
        **{f"pos_{rows}": place(close, high, low, rows) for rows in PLACES},
        "up_10": mean(np.sign(returns), 10),
        "up_30": mean(np.sign(returns), 30),
        "streak": rolling(np.sign(returns), RUN, _streak),
    }
    for rows in EXTREMES:
        spread_out = sigma * np.sqrt(rows)
        found[f"from_high_{rows}"] = np.log(close / highest(close, rows)) / spread_out
        found[f"from_low_{rows}"] = np.log(close / lowest(close, rows)) / spread_out
    return table(found, NAMES, REACH, len(close))


def _moves(close: Floats, returns: Floats, sigma: Floats) -> dict[str, Floats]:
    named = {f"ret_{rows}": rows for rows in RETURNS} | {f"mom_{rows}": rows for rows in LONG}
    moves = {
        name: np.log(close / before(close, rows)) / (sigma * np.sqrt(rows))
        for name, rows in named.items()
    }
    return moves | {f"lag_{rows}": before(returns, rows) / sigma for rows in LAGS}


def _candle(columns: Mapping[str, Floats], sigma: Floats) -> dict[str, Floats]:
    opening, high, low, close = (columns[name] for name in NEEDS)
    width = high - low
    last_high, last_low, last_close = (before(series, 1) for series in (high, low, close))
    in_last = ratio(close - (last_high + last_low) / 2, last_high - last_low)
    return {
        "body": ratio(close - opening, width),
        "upper": ratio(high - np.maximum(opening, close), width),
        "lower": ratio(np.minimum(opening, close) - low, width),
        "body_sigma": np.log(close / opening) / sigma,
        "range_sigma": np.log(high / low) / sigma,
        "range_rel": log_ratio(width, mean(width, 20)),
        "gap_open": np.log(opening / last_close) / sigma,
        "in_prev": np.clip(in_last, -2.5, 2.5),
        "typical_gap": np.log(close / typical(high, low, close)) / sigma,
    }


def _streak(signs: Floats) -> Floats:
    """Return the length of the newest run of equal signs, with its sign, over the window."""
    same = signs[:, ::-1] == signs[:, -1:]
    return np.asarray(signs[:, -1] * np.cumprod(same, axis=1).mean(axis=1))
