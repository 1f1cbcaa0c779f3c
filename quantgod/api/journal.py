"""Read rows from a live session's journal, which may be in use; nothing is written there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from quantgod.live.journal import JournalError, newest_batches, segments, tables

SIGNALS: Final = "SIGNALS"
VOTES: Final = "VOTES"
BARS: Final = "BARS"
COLUMNS: Final = {BARS: ("minute", "symbol", "close", "reason", "datetime", "session")}
"""Of a table that has more than is told."""

CLOSING: Final = (BARS, VOTES, SIGNALS)
"""Tables whose rows say that a session has closed a minute of a symbol."""

KEY: Final = ("minute", "symbol", "role", "model", "version")
MINUTE, PLACE = KEY[:2], KEY[:3]
DAY: Final = 1440
FEW: Final = 16
LATE_MINUTES: Final = 60
"""A row may be journaled so many minutes after one of a later minute, and is still streamed."""

Row = dict[str, Any]


class Which(NamedTuple):
    """The symbol and the role of the rows that are asked for; None for all."""

    symbol: str | None = None
    role: str | None = None

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch that are asked for."""
        for name, value in self._asdict().items():
            if value is not None:
                batch = batch.filter(pc.equal(batch[name], value))
        return batch


def newest_rows(
    folder: Path, which: Which, table: str = SIGNALS, since: int | None = None
) -> Iterator[Row]:
    """Yield rows of a table, the last journaled one first, from an epoch minute on if it is given.

    Of each minute the latest session that has closed it is told of, as simulated ones play the same
    minutes again: an older one's rows are left out, also where the latest has none.

    Raises:
        JournalError: if there is no journal with such a table.
    """
    told = _Told(folder, since)
    for batch in newest_batches(folder, table, COLUMNS.get(table), since):
        left = told.of(which.of(batch))
        for end in range(left.num_rows, 0, -FEW):  # mostly the first few are all that is asked for
            rows = left.slice(max(0, end - FEW), min(FEW, end)).to_pylist()
            yield from map(_plain, reversed(rows))


class _Told:
    """Leaves out rows of minutes that a later session has closed; asked from the newest batch on.

    Args:
        folder: of the journal.
        since: epoch minute of the first rows; None for all.
    """

    def __init__(self, folder: Path, since: int | None) -> None:
        self._folder, self._since = folder, since
        self._closed: set[tuple[Any, ...]] = set()
        self._from = 1 + max(
            (one.session for table in CLOSING for one in segments(folder, table)), default=0
        )

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of a batch, which are of one session, that are told."""
        if not batch.num_rows:
            return batch
        self._look_back(batch["session"][0].as_py())
        if not self._closed:
            return batch
        return batch.filter(pa.array([one not in self._closed for one in _minutes(batch)]))

    def _look_back(self, session: int) -> None:
        """Take the minutes that sessions after this one have closed, each session's once."""
        later = range(session + 1, self._from)
        for table in {*CLOSING} & {*tables(self._folder)} if later else ():
            for batch in newest_batches(self._folder, table, MINUTE, self._since, later):
                self._closed |= {*_minutes(batch)}
        self._from = min(self._from, session + 1)


def _minutes(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Yield minute and symbol of each row."""
    return zip(*(batch[name].to_pylist() for name in MINUTE), strict=True)


def newest_row(folder: Path, table: str = SIGNALS) -> Row | None:
    """Return the row of a table that was journaled last and is told; None if there is none."""
    try:
        return next(newest_rows(folder, Which(), table), None)
    except JournalError:
        return None


def newest_minute(folder: Path) -> int | None:
    """Return the epoch minute that the newest session has come to; None if there is none."""
    rows = [row for table in CLOSING if (row := newest_row(folder, table)) is not None]
    newest = max(((row["session"], row["minute"]) for row in rows), default=None)
    return None if newest is None else int(newest[1])


def latest_rows(folder: Path, which: Which, table: str = SIGNALS) -> list[Row]:
    """Return the last journaled rows of a table that are of one minute.

    Raises:
        JournalError: if there is no journal with such a table.
    """
    each = groupby(newest_rows(folder, which, table), key=lambda row: row["minute"])
    _, rows = next(each, (None, iter(())))
    return sorted(rows, key=lambda row: (row["symbol"], row.get("role", "")))


def rows_between(
    folder: Path, which: Which, since: int, until: int, table: str = SIGNALS
) -> list[Row]:
    """Return the rows of epoch minutes from `since` to before `until`, sorted by minute.

    Raises:
        JournalError: if there is no journal with such a table.
    """
    found: dict[tuple[Any, ...], Row] = {}
    for row in newest_rows(folder, which, table, since):
        if row["minute"] < until:
            found.setdefault(_key(row, PLACE), row)
    rows = [*found.values()][::-1]
    return sorted(rows, key=lambda row: row["minute"])


class Follower:
    """Tells the signals that were journaled since it was asked last.

    Args:
        folder: of the journal.
        which: signals.
        since: epoch minute from which on all are new, at most a day back; None for those that are
            journaled from now on.
    """

    def __init__(self, folder: Path, which: Which, since: int | None) -> None:
        self._folder, self._which = folder, which
        self._told: set[tuple[Any, ...]] = set()
        row = newest_row(folder)
        newest = 0 if row is None else row["minute"]
        self._floor = newest - LATE_MINUTES if since is None else max(since, newest - DAY)
        if since is None:
            self.news()

    def news(self) -> list[Row]:
        """Return signals that were not told before, sorted by minute; none without a journal."""
        rows = self._recent()
        found = [row for row in rows if _key(row) not in self._told]
        self._told = {_key(row) for row in rows}
        newest = max((row["minute"] for row in rows), default=self._floor)
        self._floor = max(self._floor, newest - LATE_MINUTES)
        return sorted(found, key=lambda row: row["minute"])

    def _recent(self) -> list[Row]:
        try:
            late = self._floor - LATE_MINUTES
            rows = newest_rows(self._folder, self._which)
            recent = takewhile(lambda row: row["minute"] >= late, rows)
            return [row for row in recent if row["minute"] >= self._floor]
        except JournalError:
            return []


def _key(row: Row, names: Sequence[str] = KEY) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)


def _plain(value: Any) -> Any:
    """Return a row, or a value in it, as JSON has it: null where a number is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
