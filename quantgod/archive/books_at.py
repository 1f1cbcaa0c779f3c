"""Look up the order book at any moments in the raw archives, between the minute rows.

An order that arrives at a moment meets the book of that moment: the state after the last message
before it (`market.stops` says which books are valid). If there is none, the order has to wait, and
the caller decides what it meets.

Archives are accepted and refused as in the etl: the deepest readable one makes its day, completely
or not at all. Only days with a moment are read, once, in order of time. The book and the sequence
continue from the day before if that was read too; else there is no book before a day's first
snapshot. The head of the next file, which may begin before its midnight, is read for moments after
the last message of the day's own file.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from quantgod.archive.day_reading import MARGIN_MS, Carry
from quantgod.archive.plan import ArchiveFile, Candidate, find_archives, plan_days
from quantgod.archive.settling import carried_levels, settle_moments
from quantgod.archive.source import Quarantine
from quantgod.contracts import (
    BOOK_LEVELS,
    MS_PER_DAY,
    MS_PER_MINUTE,
    MS_PER_SECOND,
    Booleans,
    Floats,
    Integers,
    Market,
    Progress,
    silent,
)
from quantgod.market.minute_kernel import CLOCK, NEXT
from quantgod.market.stops import Cuts
from quantgod.settings import EtlSettings

_ONE_DAY: Final = dt.timedelta(days=1)
_EPOCH: Final = dt.date(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class BooksAt:
    """The books at given moments.

    Attributes:
        moments_ms: int64 [n], epoch ms, rising.
        is_there: bool [n]; False if no archive has a valid book.
        levels: float64 [n, 2, 200, 2]: bids and asks, best first, price and size; a missing level
            has NaN price and zero size, and so has every level of a missing book.
        unread: days of moments without a usable archive.
    """

    moments_ms: Integers
    is_there: Booleans
    levels: Floats
    unread: tuple[dt.date, ...]

    @property
    def bid_prices(self) -> Floats:
        """Return falling prices [n, 200]."""
        return self.levels[:, 0, :, 0]

    @property
    def bid_sizes(self) -> Floats:
        """Return sizes [n, 200]."""
        return self.levels[:, 0, :, 1]

    @property
    def ask_prices(self) -> Floats:
        """Return rising prices [n, 200]."""
        return self.levels[:, 1, :, 0]

    @property
    def ask_sizes(self) -> Floats:
        """Return sizes [n, 200]."""
        return self.levels[:, 1, :, 1]


def books_at(
    archives: Path,
    symbol: str,
    moments_ms: Integers,
    settings: EtlSettings,
    progress: Progress = silent,
    *,
    market: Market,
) -> BooksAt:
    """Look up the book of `symbol` at each of these moments (6.4 kB per moment).

    Args:
        archives: Searched recursively, as in the etl.
        symbol: The contract.
        moments_ms: Epoch ms, rising.
        settings: The etl's rules.
        progress: Called after each day.
        market: Of the archives.

    Raises:
        ValueError: if `archives` is not a folder, or the moments do not rise.
    """
    if np.any(np.diff(moments_ms) <= 0):
        raise ValueError("moments must rise, each later than the one before")
    dates = [_EPOCH + _ONE_DAY * day for day in np.unique(moments_ms // MS_PER_DAY).tolist()]
    files, _ = find_archives(archives, market, symbol)
    search = _Search(_candidates(files, dates, settings), moments_ms, settings)
    for done, date in enumerate(dates):
        progress(done, len(dates), f"{symbol} {date} books")
        search.read(date)
        if date + _ONE_DAY not in dates:
            search.end_run(date + _ONE_DAY)
    progress(len(dates), len(dates), f"{symbol} books")
    return BooksAt(moments_ms, search.is_there, search.levels, tuple(search.unread))


def _candidates(
    files: list[ArchiveFile], dates: list[dt.date], settings: EtlSettings
) -> dict[dt.date, tuple[Candidate, ...]]:
    """Return the archives of these days and the days after, by date, in the order of trying."""
    wanted = {*dates, *(date + _ONE_DAY for date in dates)}
    files = [file for file in files if file.date in wanted]
    return {day.date: day.candidates for day in plan_days(files, settings)}


class _Search:
    """Collects the books found, with the state at the end of the last read day."""

    def __init__(
        self,
        candidates: dict[dt.date, tuple[Candidate, ...]],
        moments_ms: Integers,
        settings: EtlSettings,
    ) -> None:
        count = len(moments_ms)
        self.is_there: Booleans = np.empty(count, dtype=np.bool_)
        self.levels: Floats = np.empty((count, 2, BOOK_LEVELS, 2))
        self.unread: list[dt.date] = []
        self._moments = moments_ms
        self._candidates = candidates
        self._settings = settings
        self._settled = 0
        self._carry: Carry | None = None

    def read(self, date: dt.date) -> None:
        """Read a whole day; if it cannot be read, its moments have no book."""
        limit = _midnight(date + _ONE_DAY)
        carry = self._read(date, limit + MARGIN_MS)
        if carry is None:
            self.unread.append(date)
            self._settle_rest(limit)
        elif carry.integers[NEXT] > carry.integers[CLOCK]:
            # The end of the file closed its last minute, whatever the next file begins with.
            self._carry = carry
            self._settle_rest(int(carry.integers[NEXT]) * MS_PER_SECOND)
        self._carry = carry

    def end_run(self, date: dt.date) -> None:
        """Decide the remaining moments before `date`, if necessary with the head of its file."""
        limit = _midnight(date)
        if self._pending(limit):
            self._read(date, limit, stop_minute=limit // MS_PER_MINUTE - 1)
        self._settle_rest(limit)
        self._carry = None

    def _read(self, date: dt.date, limit_ms: int, stop_minute: int | None = None) -> Carry | None:
        """Decide moments before `limit_ms` with the first readable archive of a day."""
        for candidate in self._candidates.get(date, ()):
            cuts = self._cuts(limit_ms)
            try:
                carry = settle_moments(candidate, self._settings, self._carry, stop_minute, cuts)
            except Quarantine:  # then its decisions do not count
                continue
            self._settled += cuts.settled
            return carry
        return None

    def _settle_rest(self, limit_ms: int) -> None:
        """Decide moments before `limit_ms` with the state at the end of the day before."""
        cuts, carry = self._cuts(limit_ms), self._carry
        if carry is None:
            cuts.settle_rest(limit_ms, -1, None)
        else:
            cuts.settle_rest(limit_ms, int(carry.integers[CLOCK]), carried_levels(carry))
        self._settled += cuts.settled

    def _pending(self, limit_ms: int) -> bool:
        return self._cuts(limit_ms).next_ms < limit_ms

    def _cuts(self, limit_ms: int) -> Cuts:
        part = slice(self._settled, int(np.searchsorted(self._moments, limit_ms)))
        silence = self._settings.max_silence_seconds
        return Cuts(self._moments[part], silence, self.levels[part], self.is_there[part])


def _midnight(date: dt.date) -> int:
    return (date - _EPOCH).days * MS_PER_DAY
