"""Read recorded books: of minutes from the stored bars, of any moment from the archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from quantgod.archive.books_at import BooksAt, books_at
from quantgod.archive.store import StoreError, load_bars
from quantgod.backtest.books import Books, books_of
from quantgod.contracts import BOOK_COLUMNS, MS_PER_DAY, Integers, Market, Progress, silent
from quantgod.settings import EtlSettings


class ForeignArchives(ValueError):
    """The bars were not made from these archives: their books differ from those of the signals."""


def minute_books(bars: Path, symbol: str, rows: pd.DataFrame, horizon_minutes: int) -> Books:
    """Return the minutes' books from the first scored row to the last possible exit.

    Raises:
        StoreError: if there are no bars of those days, or they hold no books.
    """
    first, last = rows["time"].iloc[0], rows["time"].iloc[-1]
    # A latency is at most one horizon, so nothing happens after two horizons.
    end = last + pd.Timedelta(minutes=2 * horizon_minutes + 1)
    frame = load_bars(bars, symbol, BOOK_COLUMNS, (first.date(), end.date()))
    if frame["bid_0_p"].isna().all():
        raise StoreError(f"{bars / symbol}: bars without a book cannot be traded on")
    return books_of(frame.loc[first:end])


def archive_books(
    archives: Path,
    symbol: str,
    moments_ms: Integers,
    minutes: Books,
    settings: EtlSettings,
    progress: Progress = silent,
    *,
    market: Market,
) -> Books | None:
    """Return the books at `moments_ms` (rising); None if an archive of their days is missing.

    A moment may have no book, for example after a gap: its order waits for the next minute's book.

    Args:
        archives: folder of raw archives; it need not exist.
        symbol: the contract.
        moments_ms: epoch ms.
        minutes: books of the stored minutes. One per day is compared with the archive.
        settings: the etl's rules.
        progress: called after each day.
        market: the venue's market.

    Raises:
        ForeignArchives: if such a book differs from the archive's.
    """
    if not archives.is_dir() or not len(moments_ms):
        return None
    seen_ms = _one_a_day(moments_ms, minutes)
    asked_ms = np.union1d(moments_ms, seen_ms)
    found = books_at(archives, symbol, asked_ms, settings, progress, market=market)
    if _days_absent(found):
        return None
    _refuse_foreign(found, seen_ms, minutes)
    kept = found.is_there & np.isin(asked_ms, moments_ms)
    depth = minutes.levels.shape[2]
    return Books(asked_ms[kept], found.levels[kept, :, :depth]) if kept.any() else None


def _one_a_day(moments_ms: Integers, minutes: Books) -> Integers:
    """Return the last millisecond of one stored minute before the moments, per day."""
    place = np.searchsorted(minutes.time_ms, moments_ms, side="right") - 1
    last_ms = minutes.time_ms[place[place >= 0]] - 1
    same_day = last_ms // MS_PER_DAY == moments_ms[place >= 0] // MS_PER_DAY
    _, first = np.unique(last_ms[same_day] // MS_PER_DAY, return_index=True)
    chosen: Integers = last_ms[same_day][first]
    return chosen


def _days_absent(found: BooksAt) -> bool:
    """Return whether a book is missing because its day has no archive."""
    days = pd.DatetimeIndex(found.moments_ms[~found.is_there].astype("datetime64[ms]")).date
    return not set(found.unread).isdisjoint(days.tolist())


def _refuse_foreign(found: BooksAt, seen_ms: Integers, minutes: Books) -> None:
    depth = minutes.levels.shape[2]
    for moment in seen_ms.tolist():
        own = minutes.levels[np.searchsorted(minutes.time_ms, moment)]
        place = np.searchsorted(found.moments_ms, moment)
        theirs = found.levels[place, :, :depth]
        if found.is_there[place] and not np.array_equal(own, theirs, equal_nan=True):
            when = pd.Timestamp(moment + 1, unit="ms", tz="UTC")
            raise ForeignArchives(
                f"the bars were made from other archives: at {when} they hold bid and ask "
                f"{own[:, 0, 0].tolist()}, the archives {theirs[:, 0, 0].tolist()}"
            )
