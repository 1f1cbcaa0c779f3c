"""One-minute price bars from CSV, gz or plain: `ts(ms),open,close,high,low,volume`, no header."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantgod.contracts import MS_PER_MINUTE
from quantgod.market.price_path import Bars

COLUMNS = 6
EXPECTED = (
    "a later ts(ms) on the minute, then open,close,high,low,volume with low and high in place"
)


Table = NDArray[np.float64]


def read_price_bars(path: Path, start_ms: int, minutes: int) -> Bars:
    """The bars of `minutes` minutes from `start_ms` on; an absent minute is flat at the last close.

    Raises:
        ValueError: for a malformed line, with its number; or where `start_ms` is outside the file,
            with the range it covers.
    """
    table = _read(path)
    first, last = int(table[0, 0]), int(table[-1, 0])
    if not first <= start_ms <= last:
        raise ValueError(
            f"{path}: prices run from {_utc(first)} to {_utc(last)}, which leaves out the start "
            f"{_utc(start_ms)}"
        )
    return _without_holes(table, start_ms, minutes)


def _read(path: Path) -> Table:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as source:
        lines = source.read().splitlines()
    if not lines:
        raise ValueError(f"{path}: holds no bars")
    try:
        table = np.loadtxt(lines, delimiter=",", ndmin=2, comments=None)
    except ValueError:
        table = np.empty((0, 0))
    if table.shape != (len(lines), COLUMNS) or not _sound(table):
        raise _malformed(path, lines)
    return table


def _sound(table: Table) -> bool:
    """Whether times rise on the minute, highs and lows hold the other prices, and all is finite."""
    ts, opening, close, high, low, volume = table.T
    return bool(
        np.all(np.isfinite(table))
        and np.all(ts % MS_PER_MINUTE == 0)
        and np.all(np.diff(ts) > 0)
        and np.all((low > 0) & (low <= np.minimum(opening, close)))
        and np.all((np.maximum(opening, close) <= high) & (volume >= 0))
    )


def _malformed(path: Path, lines: list[str]) -> ValueError:
    """Name the first line at fault: no bar by itself, or not later than the one before."""
    before = -1.0
    for number, line in enumerate(lines, start=1):
        try:
            bar = np.array([[float(field) for field in line.split(",")]])
        except ValueError:
            bar = np.empty((0, 0))
        if bar.shape != (1, COLUMNS) or not _sound(bar) or bar[0, 0] <= before:
            return ValueError(f"{path} line {number}: expected {EXPECTED}; got {line[:100]!r}")
        before = bar[0, 0]
    return ValueError(f"{path}: expected {EXPECTED} in every line")


def _without_holes(table: Table, start_ms: int, minutes: int) -> Bars:
    """Row k is minute k after `start_ms`; where there is no bar the close before it holds."""
    times = start_ms + MS_PER_MINUTE * np.arange(minutes)
    at = np.searchsorted(table[:, 0], times, side="right") - 1
    present = table[at, 0] == times
    close = table[at, 2]
    opening, high, low = (np.where(present, table[at, column], close) for column in (1, 3, 4))
    return Bars(opening, close, high, low)


def _utc(ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(ms / 1000, dt.UTC):%Y-%m-%d %H:%M}"
