"""The 112 features of minutes: of stored days in the memory of a few, or of each as it closes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from quantgod.contracts import (
    BOOK_COLUMNS,
    BOOK_LEVELS,
    FEATURES,
    MS_PER_MINUTE,
    SECOND_FIGURES,
    Floats,
    Integers,
)
from quantgod.served.features import sets
from quantgod.served.features.source import source_columns


class SourceRows(NamedTuple):
    """Rows that features are made of: those of a stored day, or of any minutes.

    Attributes:
        minutes: (rows,) epoch minutes.
        features: (rows, 9).
        close: (rows,).
        book: (rows, 800) as bars hold it.
        seconds: (rows, 12).
    """

    minutes: Integers
    features: Floats
    close: Floats
    book: Floats
    seconds: Floats

    def at(self, places: Integers) -> SourceRows:
        """Return the rows at these places."""
        bars = self.minutes[places], self.features[places], self.close[places]
        return SourceRows(*bars, self.book[places], self.seconds[places])


Columns = dict[str, Floats]

SOURCES = (*BOOK_COLUMNS, *SECOND_FIGURES)
"""Columns that features are made of, beside the nine features and `close` of a bar."""


def features_of(bars: pd.DataFrame, max_bridge_minutes: int) -> pd.DataFrame:
    """Return the features of minutes at hand: `sets.NAMES`, with the index of `bars`.

    Args:
        bars: the nine features, `close` and `SOURCES`; a UTC index of whole minutes.
        max_bridge_minutes: the longest gap inside a stretch.
    """
    minutes = pd.DatetimeIndex(bars.index).as_unit("ms").asi8 // MS_PER_MINUTE
    parts = ([*FEATURES], "close", [*BOOK_COLUMNS], [*SECOND_FIGURES])
    # In rows, as stored ones lie: numpy sums along a row by how it lies, and its bits count.
    columns = (np.ascontiguousarray(bars[names].to_numpy(np.float64)) for names in parts)
    rows = SourceRows(minutes, *columns)
    return pd.concat(feature_days([rows], max_bridge_minutes)).set_axis(bars.index)


def feature_days(days: Iterable[SourceRows], max_bridge_minutes: int) -> Iterator[pd.DataFrame]:
    """Yield the features of each day, with as much of the days before as they look back.

    A value is missing where its stretch has less past than it needs. Rows with at most
    `max_bridge_minutes` missing minutes between them form one stretch.

    Args:
        days: in order of time.
        max_bridge_minutes: the longest gap inside a stretch.

    Yields:
        A frame for each day: `sets.NAMES`, float64, UTC index `datetime`.
    """
    memory = FeatureMemory(max_bridge_minutes)
    for day in days:
        yield _frame(day.minutes, memory.take(day))


class FeatureMemory:
    """The newest rows of one stretch, as many as features of the next ones look back at.

    They lie in arrays with room for more, so that a row that comes alone moves no other.

    Args:
        max_bridge_minutes: the longest gap inside a stretch.
    """

    def __init__(self, max_bridge_minutes: int) -> None:
        self._max_bridge_minutes = max_bridge_minutes
        self._room: Columns = {}
        self._begin = self._end = 0

    def __len__(self) -> int:
        """Return how many rows there are, at most `sets.REACH - 1`."""
        return self._end - self._begin

    def take(self, rows: SourceRows) -> Floats:
        """Return the features of the rows that come next, (rows, 112), NaN for too little past."""
        past = len(self)
        known = self._joined(_columns(rows), len(rows.minutes))
        stretches = _stretches(known["minute"], self._max_bridge_minutes)
        found = [
            _newest(_cut(known, begin, end), end - max(begin, past))
            for begin, end in stretches
            if end > past
        ]
        begin, end = stretches[-1]
        self._begin += max(begin, end - sets.REACH + 1)
        return np.vstack(found)

    def _joined(self, own: Columns, count: int) -> Columns:
        """Return the rows that are known and those that come next, which join them."""
        room = self._room
        if not room or self._end + count > len(room["minute"]):
            length = len(self) + count + sets.REACH
            self._room = {name: np.empty((length, *new.shape[1:])) for name, new in own.items()}
            for name in room:
                self._room[name][: len(self)] = room[name][self._begin : self._end]
            self._begin, self._end = 0, len(self)
        for name, new in own.items():
            self._room[name][self._end : self._end + count] = new
        self._end += count
        return _cut(self._room, self._begin, self._end)

    def forget(self) -> None:
        """Begin anew: the next row is the first of a stretch."""
        self._begin = self._end


def _newest(columns: Columns, rows: int) -> Floats:
    """Return the features of the newest rows of a stretch; no set sees more past than it needs."""
    end, found = len(columns["minute"]), []
    for one in sets.SETS.values():
        begin = max(0, end - rows - one.REACH + 1)
        needed = {name: columns[name][begin:] for name in one.NEEDS}
        found.append(one.compute(needed)[-rows:])
    return np.hstack(found)


def _columns(day: SourceRows) -> Columns:
    bars = dict(zip(FEATURES, day.features.T, strict=True)) | {"close": day.close}
    seconds = dict(zip(SECOND_FIGURES, day.seconds.T, strict=True))
    book = day.book.reshape(len(day.minutes), 2, BOOK_LEVELS, 2)
    return source_columns(day.minutes, bars, book, seconds)


def _stretches(minute: Floats, max_bridge_minutes: int) -> list[tuple[int, int]]:
    """Return where each stretch begins and ends."""
    breaks = np.flatnonzero(np.diff(minute) - 1 > max_bridge_minutes) + 1
    edges = [0, *breaks.tolist(), len(minute)]
    return list(pairwise(edges))


def _cut(columns: Columns, begin: int, end: int) -> Columns:
    return {name: values[begin:end] for name, values in columns.items()}


def _frame(minutes: Integers, found: Floats) -> pd.DataFrame:
    index = pd.to_datetime(minutes * MS_PER_MINUTE, unit="ms", utc=True).as_unit("us")
    return pd.DataFrame(found, index.rename("datetime"), list(sets.NAMES))
