"""Make candles of the stored minute bars of order books: of micro-prices, and of no trades."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Final

import numpy as np

from quantgod.archive.store import StoreError, are_imported, load_bars
from quantgod.contracts import (
    CANDLE_COLUMNS,
    INTERVALS,
    MS_PER_MINUTE,
    Candles,
    Floats,
    Integers,
    Market,
)
from quantgod.served.features.source import CANDLE, candle_columns

SOURCE: Final = "bars"

_MICROSECONDS_A_MS: Final = 1000


def candles_of_bars(
    bars: Path,
    market: Market,
    symbol: str,
    interval: str,
    *,
    messages_as_volume: bool = False,
    days: tuple[dt.date, dt.date] | None = None,
) -> Candles:
    """Return candles of kind `micro` from stored minutes.

    A candle is made only where all its minutes are there, so that each is closed. Trades and their
    volumes are unknown to a book, hence NaN.

    Args:
        bars: the store of bars of this market.
        market: where the symbol trades.
        symbol: the contract.
        interval: of the candles.
        messages_as_volume: put the number of book messages where the volume stands.
        days: the first and the last day to read; None: all.

    Raises:
        StoreError: if there are no bars, they were imported (whose prices are not known to be
            micro-prices), or no interval has all its minutes.
    """
    if are_imported(bars, symbol):
        raise StoreError(
            f"{bars / symbol} holds imported bars, those of order books were expected: give the "
            "files that were imported by --source"
        )
    frame = load_bars(bars, symbol, CANDLE, days)
    minutes = frame.index.asi8 // (_MICROSECONDS_A_MS * MS_PER_MINUTE)  # type: ignore[attr-defined]
    columns = candle_columns({name: frame[name].to_numpy() for name in CANDLE})
    times, values = _joined(minutes, columns, INTERVALS[interval] // MS_PER_MINUTE)
    if not len(times):
        raise StoreError(f"{bars / symbol}: no {interval} has all its minutes")
    if not messages_as_volume:
        values[:, CANDLE_COLUMNS.index("volume")] = np.nan
    return Candles(symbol, market, interval, "micro", times, values)


def _joined(minutes: Integers, columns: dict[str, Floats], count: int) -> tuple[Integers, Floats]:
    """Return open times (ms) and values of each `count` minutes that are all there."""
    groups, first, present = np.unique(minutes // count, return_index=True, return_counts=True)
    start = first[present == count]
    values = np.full((len(start), len(CANDLE_COLUMNS)), np.nan)
    at = start[:, None] + np.arange(count)
    told = {
        "open": columns["open"][start],
        "high": columns["high"][at].max(axis=1, initial=0),
        "low": columns["low"][at].min(axis=1, initial=np.inf),
        "close": columns["close"][start + count - 1],
        "volume": columns["messages"][at].sum(axis=1),
    }
    for name, column in told.items():
        values[:, CANDLE_COLUMNS.index(name)] = column
    return groups[present == count] * count * MS_PER_MINUTE, values
