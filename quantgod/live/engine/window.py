"""Keep the newest minutes of one stretch for predictions.

A stretch ends where more than `max_bridge_minutes` minutes have no row. Minutes before the first
live one may be filled from history; history of that minute or later ones is dropped, whatever the
local clock says: a replay must not see its own future.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.contracts import FEATURES, Floats, Integers
from quantgod.contracts.minute_rows import KEPT_MINUTES, MinuteRows

_NO_ROWS: Final = MinuteRows(np.empty(0, np.int64), np.empty((0, len(FEATURES))))


class Window:
    """One symbol's newest rows, at most `kept` of one stretch.

    Args:
        max_bridge_minutes: longest gap inside a stretch.
        kept: the longest possible window.
    """

    def __init__(self, max_bridge_minutes: int, kept: int = KEPT_MINUTES) -> None:
        self.max_bridge_minutes = max_bridge_minutes
        self.kept = kept
        # Twice the length, so that rows are moved to the front only once in `kept` minutes.
        self._minutes: Integers = np.empty(2 * kept, dtype=np.int64)
        self._features: Floats = np.empty((2 * kept, len(FEATURES)))
        self._begin = self._end = 0
        self._history = _NO_ROWS
        self._last_live: int | None = None

    def fill(self, history: MinuteRows) -> None:
        """Add rows from before this stream, in any order; of a repeated minute the last row counts.

        Raises:
            ValueError: if there were live minutes already, or the shapes do not fit.
        """
        if self._last_live is not None:
            raise ValueError("history was expected before the first live minute, not after it")
        if history.features.shape != (len(history.minutes), len(FEATURES)):
            shapes = history.minutes.shape, history.features.shape
            raise ValueError(f"minutes (n) and features (n, 9) expected, got {shapes}")
        self._history = _sorted(history)
        self._restart(newest_run(self._history, self.max_bridge_minutes))

    def close(self, minute: int, features: Floats | None) -> bool:
        """Take a closed live minute, with or without a row.

        Returns:
            True if it is new; a minute at or before the last live one changes nothing.
        """
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
        return True

    def missing(self, length: int) -> int:
        """Return how many more rows are needed for `length` rows of one stretch."""
        return max(0, length - (self._end - self._begin))

    def newest(self, length: int) -> MinuteRows:
        """Return a copy of the newest `length` rows.

        Raises:
            ValueError: if there are too few rows of one stretch.
        """
        if missing := self.missing(length):
            raise ValueError(f"{length} rows were asked for, {missing} are missing")
        place = slice(self._end - length, self._end)
        return MinuteRows(self._minutes[place].copy(), self._features[place].copy())

    def _forget_the_future(self, first_live: int) -> None:
        past = int(np.searchsorted(self._history.minutes, first_live))
        known = MinuteRows(self._history.minutes[:past], self._history.features[:past])
        self._restart(newest_run(known, self.max_bridge_minutes))
        self._history = _NO_ROWS

    def _end_run_before(self, minute: int) -> None:
        """Drop the rows if a row at `minute` would start a new stretch."""
        if self._begin == self._end:
            return
        if minute - int(self._minutes[self._end - 1]) - 1 > self.max_bridge_minutes:
            self._begin = self._end = 0

    def _append(self, minute: int, features: Floats) -> None:
        if self._end == len(self._minutes):
            self._restart(MinuteRows(self._minutes[self._begin :], self._features[self._begin :]))
        self._minutes[self._end] = minute
        self._features[self._end] = features
        self._end += 1
        self._begin = max(self._begin, self._end - self.kept)

    def _restart(self, rows: MinuteRows) -> None:
        """Store the newest of `rows` at the front."""
        count = min(self.kept, len(rows.minutes))
        self._begin, self._end = 0, count
        self._minutes[:count] = rows.minutes[len(rows.minutes) - count :]
        self._features[:count] = rows.features[len(rows.minutes) - count :]


def newest_run(rows: MinuteRows, max_bridge_minutes: int) -> MinuteRows:
    """Return the rows after the last gap of more than `max_bridge_minutes`."""
    breaks = np.flatnonzero(np.diff(rows.minutes) - 1 > max_bridge_minutes)
    first = int(breaks[-1]) + 1 if len(breaks) else 0
    return MinuteRows(rows.minutes[first:], rows.features[first:])


def _sorted(rows: MinuteRows) -> MinuteRows:
    """Return rows sorted by minute; of equal minutes the last one is kept."""
    minutes, places = np.unique(rows.minutes[::-1], return_index=True)
    return MinuteRows(minutes.astype(np.int64), rows.features[::-1][places])
