"""Keep the newest minutes of one stretch for predictions: nine features, and the 112 after them.

A stretch ends where more than `max_bridge_minutes` minutes have no row. Minutes before the first
live one may be filled from history; history of that minute or later ones is dropped, whatever the
local clock says: a replay must not see its own future.

A version that takes the nine is answered as if there were no others: the 112 of a minute are only
made by `catch_up`, when somebody asks for them, or when the next minute closes. One that takes all
121 waits until they are known in all rows of its window: the first of a stretch lack their past.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.contracts import ALL_FEATURES, FEATURES, Floats, Integers
from quantgod.contracts.minute_rows import KEPT_MINUTES, MinuteRows
from quantgod.dataset.feature_table import SourceRows
from quantgod.live.engine.feature_rows import NO_SOURCES, FeatureRows
from quantgod.served.features import sets

_NO_ROWS: Final = MinuteRows(np.empty(0, np.int64), np.empty((0, len(FEATURES))))


class Window:
    """One symbol's newest rows, at most `kept` of one stretch (20 MB for a week).

    Args:
        max_bridge_minutes: longest gap inside a stretch.
        kept: the longest possible window.
    """

    def __init__(self, max_bridge_minutes: int, kept: int = KEPT_MINUTES) -> None:
        self.max_bridge_minutes = max_bridge_minutes
        self.kept = kept
        # Twice the length, so that rows are moved to the front only once in `kept` minutes.
        self._minutes: Integers = np.empty(2 * kept, dtype=np.int64)
        self._features: Floats = np.empty((2 * kept, len(ALL_FEATURES)))
        self._begin = self._end = 0
        self._complete = 0  # newest rows whose 121 features are all known
        self._more = FeatureRows(max_bridge_minutes)
        self._awaited: list[SourceRows | None] = []  # of the newest row, until its 112 are made
        self._history, self._sources = _NO_ROWS, NO_SOURCES
        self._last_live: int | None = None

    def fill(self, history: MinuteRows, sources: SourceRows = NO_SOURCES) -> None:
        """Add rows from before this stream, in any order; of a repeated minute the last row counts.

        Args:
            history: minutes and their nine features.
            sources: what the 112 are made of, as far as it is known, oldest first; it is kept until
                the first live minute.

        Raises:
            ValueError: if there were live minutes already, or the shapes do not fit.
        """
        if self._last_live is not None:
            raise ValueError("history was expected before the first live minute, not after it")
        if history.features.shape != (len(history.minutes), len(FEATURES)):
            shapes = history.minutes.shape, history.features.shape
            raise ValueError(f"minutes (n) and features (n, 9) expected, got {shapes}")
        self._history, self._sources = _sorted(history), sources
        self._take_history(len(history.minutes))

    def close(self, minute: int, features: Floats | None, source: SourceRows | None = None) -> bool:
        """Take a closed live minute, with or without a row.

        Args:
            minute: epoch minute.
            features: its nine features; None without a row.
            source: what its 112 are made of.

        Returns:
            True if it is new; a minute at or before the last live one changes nothing.
        """
        self.catch_up()
        if self._last_live is None:
            self._forget_the_future(minute)
        elif minute <= self._last_live:
            return False
        self._last_live = minute
        if features is None:
            self._end_run_before(minute + 1)
        else:
            self._end_run_before(minute)
            self._append(minute, features)
            self._awaited = [source]
        return True

    def catch_up(self) -> None:
        """Make the 112 features of the newest row, if they are not made yet: some milliseconds."""
        if not self._awaited:
            return
        row = self._features[self._end - 1]
        row[len(FEATURES) :] = self._more.next(self._awaited.pop())
        self._complete = min(self._complete + 1, self.kept) if np.isfinite(row).all() else 0

    def missing(self, length: int, columns: int = len(FEATURES)) -> int:
        """Return how many more rows are needed for `length` of one stretch with so many columns.

        With more than nine they include those of `warming`.
        """
        if columns <= len(FEATURES):
            return max(0, length - (self._end - self._begin))
        warming = self.warming(columns)
        return max(0, length - self._complete) + warming

    def warming(self, columns: int) -> int:
        """Return how many more rows pass before one has so many columns."""
        if columns <= len(FEATURES):
            return 0
        self.catch_up()
        return 0 if self._complete else self._more.to_come

    def newest(self, length: int, columns: int = len(FEATURES)) -> MinuteRows:
        """Return a copy of the first `columns` of the newest `length` rows.

        Raises:
            ValueError: if there are too few rows of one stretch.
        """
        if missing := self.missing(length, columns):
            raise ValueError(f"{length} rows were asked for, {missing} are missing")
        place = slice(self._end - length, self._end)
        return MinuteRows(self._minutes[place].copy(), self._features[place, :columns].copy())

    def known(self, length: int, columns: int = len(FEATURES)) -> MinuteRows:
        """Return a copy of the newest rows of the stretch, `length` or as many as there are.

        What is not known of the first `columns` is not a number.
        """
        if columns > len(FEATURES):
            self.catch_up()
        place = slice(max(self._begin, self._end - length), self._end)
        return MinuteRows(self._minutes[place].copy(), self._features[place, :columns].copy())

    def _forget_the_future(self, first_live: int) -> None:
        past = int(np.searchsorted(self._history.minutes, first_live))
        if past < len(self._history.minutes):
            self._take_history(past)
        self._history, self._sources = _NO_ROWS, NO_SOURCES

    def _take_history(self, rows: int) -> None:
        """Take the newest run of the oldest `rows` of history, with all features that are known."""
        known = MinuteRows(self._history.minutes[:rows], self._history.features[:rows])
        run, newest = (
            newest_run(known, self.max_bridge_minutes),
            slice(-self.kept - sets.REACH, None),
        )
        minutes, nine = run.minutes[newest], run.features[newest]
        more = self._more.past(minutes, self._sources)
        self._restart(MinuteRows(minutes, np.hstack([nine, more])))

    def _end_run_before(self, minute: int) -> None:
        """Drop the rows if a row at `minute` would start a new stretch."""
        if self._begin == self._end:
            return
        if minute - int(self._minutes[self._end - 1]) - 1 > self.max_bridge_minutes:
            self._begin = self._end = self._complete = 0
            self._more.forget()

    def _append(self, minute: int, features: Floats) -> None:
        if self._end == len(self._minutes):
            self._restart(MinuteRows(self._minutes[self._begin :], self._features[self._begin :]))
        self._minutes[self._end] = minute
        self._features[self._end, : len(FEATURES)] = features
        self._end += 1
        self._begin = max(self._begin, self._end - self.kept)

    def _restart(self, rows: MinuteRows) -> None:
        """Store the newest of `rows` at the front, with all their columns or the first nine."""
        count, columns = min(self.kept, len(rows.minutes)), rows.features.shape[1]
        self._begin, self._end = 0, count
        self._minutes[:count] = rows.minutes[len(rows.minutes) - count :]
        self._features[:count, :columns] = rows.features[len(rows.minutes) - count :]
        self._features[:count, columns:] = np.nan
        lacking = np.flatnonzero(~np.isfinite(self._features[:count]).all(axis=1))
        self._complete = count - 1 - int(lacking[-1]) if len(lacking) else count


def newest_run(rows: MinuteRows, max_bridge_minutes: int) -> MinuteRows:
    """Return the rows after the last gap of more than `max_bridge_minutes`."""
    breaks = np.flatnonzero(np.diff(rows.minutes) - 1 > max_bridge_minutes)
    first = int(breaks[-1]) + 1 if len(breaks) else 0
    return MinuteRows(rows.minutes[first:], rows.features[first:])


def _sorted(rows: MinuteRows) -> MinuteRows:
    """Return rows sorted by minute; of equal minutes the last one is kept."""
    minutes, places = np.unique(rows.minutes[::-1], return_index=True)
    return MinuteRows(minutes.astype(np.int64), rows.features[::-1][places])
