"""The columns that feature sets take, from a minute's bar, its best levels and its seconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CANDLE = ("body", "upper_wick", "lower_wick", "log_ret_close", "log_volume", "close")
"""What is read of a bar."""


def candle_columns(bars: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return open, high, low, close and messages of minutes, (rows,) each.

    Open, high and low are those that the bar's features were made of, up to rounding: body is
    ln(close / open), a wick is its length over the previous close, and that follows from
    `log_ret_close`. `log_volume` is ln(1 + messages).

    Args:
        bars: `CANDLE`, (rows,) each.
    """
    close = bars["close"]
    opening = close / np.exp(bars["body"])
    before = close / np.exp(bars["log_ret_close"])
    return {
        "open": opening,
        "high": np.maximum(opening, close) + bars["upper_wick"] * before,
        "low": np.minimum(opening, close) - bars["lower_wick"] * before,
        "close": close,
        "messages": np.rint(np.expm1(bars["log_volume"])),
    }


def source_columns(
    minutes: Integers, bars: Mapping[str, Floats], book: Floats, seconds: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Return every column of any set's NEEDS.

    Args:
        minutes: (rows,) epoch minutes.
        bars: `CANDLE`, (rows,) each.
        book: (rows, 2, levels, 2): side (bid, ask), level from the best on, price and size; NaN
            where a level is not there.
        seconds: figures of the one-second samples inside each minute, (rows,) each.
    """
    bids, asks = (_side(book[:, side]) for side in (0, 1))
    return {
        **seconds,
        "minute": minutes.astype(np.float64),
        **candle_columns(bars),
        "bid_prices": bids[0],
        "bid_sizes": bids[1],
        "ask_prices": asks[0],
        "ask_sizes": asks[1],
    }


def _side(levels: Floats) -> tuple[Floats, Floats]:
    """Return prices and sizes, (rows, levels) each; a level that is not there follows the last."""
    prices, sizes = levels[..., 0], levels[..., 1]
    last = np.maximum.accumulate(np.where(np.isnan(prices), 0, np.arange(prices.shape[1])), axis=1)
    return np.take_along_axis(prices, last, axis=1), np.nan_to_num(sizes)
