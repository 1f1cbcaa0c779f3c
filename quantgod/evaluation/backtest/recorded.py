"""Books as they were recorded: of minutes from the stored bars, of any moment from the archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.archive.books_at import books_at
from quantgod.archive.store import load_bars
from quantgod.contracts import BOOK_COLUMNS, Progress, silent
from quantgod.evaluation.backtest.books import Books, are_sound, books_of
from quantgod.settings import EtlSettings


def minute_books(bars: Path, symbol: str, rows: pd.DataFrame, horizon_minutes: int) -> Books:
    """The minutes' books from the first of scored rows until the last one's position has left.

    Raises:
        StoreError: where there are no bars of those days.
    """
    first, last = rows["time"].iloc[0], rows["time"].iloc[-1]
    # A latency is at most a horizon long, so nothing happens after two.
    end = last + pd.Timedelta(minutes=2 * horizon_minutes + 1)
    frame = load_bars(bars, symbol, BOOK_COLUMNS, (first.date(), end.date()))
    return books_of(frame.loc[first:end])


def archive_books(
    archives: Path,
    symbol: str,
    moments_ms: npt.NDArray[np.int64],
    settings: EtlSettings,
    progress: Progress = silent,
) -> Books | None:
    """Books at `moments_ms` (rising), as many as the archives tell of; None where that is none.

    Where one is missing, an order waits for the next minute's book.
    """
    if not archives.is_dir() or not len(moments_ms):
        return None
    found = books_at(archives, symbol, moments_ms, settings, progress)
    kept = found.is_there & are_sound(found.levels)
    return Books(moments_ms[kept], found.levels[kept]) if kept.any() else None
