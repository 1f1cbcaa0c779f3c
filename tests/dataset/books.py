"""Blocks of the book on disk for the minutes of any table."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

from quantgod.archive.snapshot_store import (
    DaySnapshots,
    SnapshotMetadata,
    snapshot_path,
    write_snapshots,
)
from quantgod.contracts import MS_PER_MINUTE, Market

LEVELS, BLOCK = 3, 8


def books_of(close: np.ndarray, seed: int = 0, levels: int = LEVELS) -> np.ndarray:
    """Books [minutes, BLOCK, 2, levels, 2] around each close, with a tick of 0.1."""
    rng = np.random.default_rng(seed)
    away = np.cumsum(rng.integers(1, 4, (len(close), BLOCK, 2, levels)), axis=-1)
    around = np.round(10 * close)[:, None, None, None]
    prices = (around + away * np.array([-1, 1])[:, None]) / 10
    return np.stack([prices, rng.integers(1, 5_000, prices.shape) / 1_000], axis=-1)


def store_books(
    store: Path,
    index: pd.DatetimeIndex,
    books: np.ndarray,
    lost: tuple[int, ...] = (),
    market: Market = "linear",
) -> Path:
    """Write the books of minutes as `snapshots` does; those of rows `lost` are not there."""
    minutes = index.as_unit("ms").asi8 // MS_PER_MINUTE
    is_there = np.ones(books.shape[:2], dtype=np.bool_)
    is_there[list(lost), -1] = False
    for date in sorted(set(index.date)):
        of = index.date == date
        write_snapshots(
            snapshot_path(store, "BTCUSDT", date),
            DaySnapshots(minutes[of], books[of], is_there[of]),
            _metadata(date, market, books.shape[3]),
            "snappy",
        )
    return store / "BTCUSDT"


def _metadata(date: dt.date, market: Market, levels: int) -> SnapshotMetadata:
    key = f"{date.day % 10}" * 64
    return SnapshotMetadata(market, "BTCUSDT", date.isoformat(), key, levels, 100, BLOCK)
