"""Read the closed candles of a file, in any form that is common.

Columns are known by their names, in any order and case, and so are the 12 of Binance's klines
without a header, or 6 as `price_table` tells. Times are dates, or numbers whose size tells whether
they are s, ms, us or ns. A hole stays a hole. The newest candle is left out where the file, its
making or the clock says that it had not closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.archive.price_table import TIMES, Form, read_prices
from quantgod.archive.table_file import PRICES, TableError, made_ms
from quantgod.contracts import CANDLE_COLUMNS, INTERVALS, Candles, Market
from quantgod.settings import ArchiveLimits

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": TIMES,
    "close_time": ("close_time", "closetime"),
    "symbol": ("symbol", "ticker", "pair"),
    **{name: (name,) for name in PRICES},
    "volume": ("volume", "vol"),
    "quote_volume": ("quote_volume", "quote_asset_volume"),
    "trades": ("trades", "number_of_trades", "count", "num_trades"),
    "taker_volume": ("taker_volume", "taker_buy_volume", "taker_buy_base_asset_volume"),
}
"""What a column may be called, in lower case and with _ for blanks; the first of several counts."""


class CandleFile(NamedTuple):
    """The closed candles of a file.

    Attributes:
        candles: they.
        lacks: the columns that the file does not have.
        unclosed: why the newest candle was left out; empty if it was not.
    """

    candles: Candles
    lacks: tuple[str, ...]
    unclosed: str


def read_candle_file(
    path: Path,
    symbol: str,
    market: Market,
    interval: str,
    *,
    now_ms: int,
    drop_last: bool = False,
    limits: ArchiveLimits | None = None,
) -> CandleFile:
    """Read a file of candles.

    Args:
        path: `.csv`, `.csv.gz`, `.parquet`, `.feather`, or with limits `.zip`.
        symbol: whose candles they are.
        market: where it trades.
        interval: of the candles.
        now_ms: the clock, epoch milliseconds.
        drop_last: leave out the newest candle, whatever the clock says.
        limits: of a zip.

    Raises:
        TableError: naming the file and the line, column or interval, what came and what was
            expected; `reason` is its code.
    """
    advice = "--interval says of which candles are; each interval is stored by itself"
    rows = (f"candles of {interval} ({INTERVALS[interval] // 60_000} minutes)", advice)
    frame = read_prices(path, Form(NAMES, interval, None, PRICES, symbol, rows), limits)
    unclosed = _unclosed(path, frame, INTERVALS[interval], now_ms, drop_last=drop_last)
    closed = frame[:-1] if unclosed else frame
    if closed.empty:
        raise TableError("empty", f"{path}: holds no closed candle, one or more were expected")
    values = closed.reindex(columns=list(CANDLE_COLUMNS)).to_numpy(np.float64)
    candles = Candles(symbol, market, interval, "trades", closed.index.to_numpy(np.int64), values)
    lacks = tuple(name for name in CANDLE_COLUMNS if name not in frame)
    return CandleFile(candles, lacks, unclosed)


def _unclosed(
    path: Path, frame: pd.DataFrame, step_ms: int, now_ms: int, *, drop_last: bool
) -> str:
    """Return why the newest candle had not closed, or nothing where it had, as far as one can tell.

    Raises:
        TableError: for a candle that opens after now.
    """
    opened = int(frame.index[-1])
    if opened > now_ms:
        raise TableError(
            "future",
            f"{path}: a candle opens at {_utc(opened)}, after now ({_utc(now_ms)}): are its times "
            "in another zone or unit?",
        )
    closes = float(frame["close_time"].iloc[-1]) if "close_time" in frame else np.nan
    if closes - opened < step_ms - 1000:  # close times end with 999 ms, or a whole second
        return f"its close time is {_utc(int(closes))}"
    if opened + step_ms > now_ms:
        return f"it closes at {_utc(opened + step_ms)}, after now"
    if opened < (made := made_ms(path)) < opened + step_ms:
        return f"the file was made at {_utc(made)}, before it closed"
    return "as was asked for" if drop_last else ""


def _utc(time_ms: int) -> str:
    return str(np.datetime64(time_ms, "ms").astype("datetime64[s]")).replace("T", " ")
