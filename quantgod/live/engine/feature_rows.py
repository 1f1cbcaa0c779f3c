"""The 112 features of a symbol's newest rows, by the function that makes those of stored days."""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.archive.day_reading import book_row
from quantgod.contracts import (
    BOOK_COLUMNS,
    FEATURES,
    SECOND_FIGURES,
    Floats,
    Integers,
)
from quantgod.dataset.feature_table import FeatureMemory, SourceRows
from quantgod.market.book_bars import ClosedMinute
from quantgod.served.features import sets

NO_SOURCES: Final = SourceRows(
    np.empty(0, np.int64),
    np.empty((0, len(FEATURES))),
    np.empty(0),
    np.empty((0, len(BOOK_COLUMNS))),
    np.empty((0, len(SECOND_FIGURES))),
)

_AT_ONCE: Final = 1_440


class FeatureRows:
    """Makes the features of one symbol's rows, of one stretch; holds 6 MB of levels.

    Args:
        max_bridge_minutes: the longest gap inside a stretch.
    """

    def __init__(self, max_bridge_minutes: int) -> None:
        self._memory = FeatureMemory(max_bridge_minutes)

    @property
    def to_come(self) -> int:
        """Return how many more rows pass before one has all features."""
        return int(sets.REACH) - 1 - len(self._memory)

    def past(self, minutes: Integers, sources: SourceRows) -> Floats:
        """Begin anew with past rows of one stretch.

        Args:
            minutes: (n,), oldest first.
            sources: of these minutes or of some, and maybe of others, oldest first.

        Returns:
            (n, 112), NaN for too little past. A row without sources begins the past anew, and no
            window reaches over it: rows before the newest such row are NaN as well.
        """
        self.forget()
        found = np.full((len(minutes), len(sets.NAMES)), np.nan)
        lacking = np.flatnonzero(~np.isin(minutes, sources.minutes))
        first = int(lacking[-1]) + 1 if len(lacking) else 0
        for begin in range(first, len(minutes), _AT_ONCE):
            end = min(begin + _AT_ONCE, len(minutes))
            places = np.searchsorted(sources.minutes, minutes[begin:end])
            found[begin:end] = self._take(sources.at(places))
        return found

    def next(self, row: SourceRows | None) -> Floats:
        """Return the features of the row that follows, (112,); without sources it has none."""
        if row is None:
            self.forget()
            return np.full(len(sets.NAMES), np.nan)
        return np.asarray(self._take(row)[0])

    def forget(self) -> None:
        """Begin anew."""
        self._memory.forget()

    def _take(self, rows: SourceRows) -> Floats:
        # A market may do what overflows: such a value counts as one that is not known.
        with np.errstate(all="ignore"):
            return self._memory.take(rows)


def source_row(closed: ClosedMinute) -> SourceRows | None:
    """Return what features of a closed minute are made of; none without its row or its seconds."""
    bar = closed.bar
    if bar.features is None or bar.seconds is None:
        return None
    return SourceRows(
        np.array([bar.minute]),
        bar.features[None],
        np.array([bar.close]),
        book_row(closed.bids, closed.asks)[None],
        bar.seconds[None],
    )
