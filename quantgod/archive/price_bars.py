"""One-minute price bars from CSV, gz or plain: `ts(ms),open,close,high,low,volume`, no header."""

from __future__ import annotations

import datetime as dt
import gzip
import math
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from quantgod.contracts import MS_PER_MINUTE
from quantgod.market.price_path import Bars

COLUMNS = 6
EXPECTED = (
    "a later ts(ms) on the minute, then open,close,high,low,volume with low and high in place"
)


class PriceBar(NamedTuple):
    """One line of the file, without its volume."""

    ts: int
    open: float
    close: float
    high: float
    low: float


def read_price_bars(path: Path, start_ms: int, minutes: int) -> Bars:
    """The bars of `minutes` minutes from `start_ms` on; an absent minute is flat at the last close.

    Raises:
        ValueError: for a malformed line, with its number; or where `start_ms` is outside the file,
            with the range it covers.
    """
    bars = _parse(path)
    first, last = bars[0].ts, bars[-1].ts
    if not first <= start_ms <= last:
        raise ValueError(
            f"{path}: prices run from {_utc(first)} to {_utc(last)}, which leaves out the start "
            f"{_utc(start_ms)}"
        )
    return _without_holes(bars, start_ms, minutes)


def _parse(path: Path) -> list[PriceBar]:
    bars: list[PriceBar] = []
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            bar = _bar(line)
            if bar is None or (bars and bar.ts <= bars[-1].ts):
                raise ValueError(
                    f"{path} line {number}: expected {EXPECTED}; got {line.strip()[:100]!r}"
                )
            bars.append(bar)
    if not bars:
        raise ValueError(f"{path}: holds no bars")
    return bars


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def _bar(line: str) -> PriceBar | None:
    fields = line.split(",")
    if len(fields) != COLUMNS:
        return None
    try:
        bar = PriceBar(int(fields[0]), *(float(field) for field in fields[1:5]))
        volume = float(fields[5])
    except ValueError:
        return None
    ordered = 0 < bar.low <= min(bar.open, bar.close) and max(bar.open, bar.close) <= bar.high
    on_minute = bar.ts >= 0 and bar.ts % MS_PER_MINUTE == 0
    return bar if ordered and on_minute and math.isfinite(bar.high) and volume >= 0 else None


def _without_holes(bars: list[PriceBar], start_ms: int, minutes: int) -> Bars:
    """Row k is minute k after `start_ms`; where there is no bar the close before it holds."""
    table = np.array(bars)
    times = start_ms + MS_PER_MINUTE * np.arange(minutes)
    at = np.searchsorted(table[:, 0], times, side="right") - 1
    present = table[at, 0] == times
    close = table[at, 2]
    opening, high, low = (np.where(present, table[at, column], close) for column in (1, 3, 4))
    return Bars(opening, close, high, low)


def _utc(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%Y-%m-%d %H:%M}"
