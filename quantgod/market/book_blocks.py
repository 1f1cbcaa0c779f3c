"""Snapshots of the book before a minute's close, taken from a stream.

A snapshot is the book at the end of an interval, by the rules of `market.stops`: the stage
`snapshots` takes the same ones from the archives of the same messages.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.contracts import (
    MS_PER_MINUTE,
    SECONDS_PER_MINUTE,
    BookShape,
    Floats,
    Integers,
)
from quantgod.market.book import OrderBook
from quantgod.market.stops import NEVER, Cuts, levels_of, no_cuts

_NO_MINUTE: Final = -1


class BlockSampler:
    """Takes a stream's snapshots before each close; holds those of two minutes, 130 kB.

    Args:
        shape: of a block.
        max_silence_seconds: as in `MinuteBars`.
    """

    __slots__ = ("_closed", "_cuts", "_max_silence", "_minute", "_shape", "next_ms")

    def __init__(self, shape: BookShape, max_silence_seconds: int) -> None:
        self._shape = shape
        self._max_silence = max_silence_seconds
        self.restart()

    def restart(self) -> None:
        """Forget all that came: the next message is the first."""
        self._minute = _NO_MINUTE
        self._cuts = no_cuts()
        self._closed: dict[int, Floats] = {}
        self.next_ms = -1
        """No message up to this time (ms) decides a snapshot."""

    def settle(self, ts: int, clock: int, book: OrderBook | None) -> None:
        """Take the snapshots before a message at `ts` (ms), which has changed nothing yet.

        Args:
            ts: later than `next_ms`.
            clock: the second of the last message before it; -1 if there was none.
            book: the book before it; None if there is none or messages between are missing.
        """
        self._closed.clear()
        if self._minute == _NO_MINUTE:
            self._open(ts // MS_PER_MINUTE)
        count = self._shape.levels
        levels = None if book is None else levels_of(*book.top(count), count)
        self._cuts.settle(ts, clock, levels)
        while self._cuts.next_ms == NEVER:
            if self._cuts.is_there.all():
                self._closed[self._minute] = self._cuts.levels
            self._open(max(self._minute + 1, self._oldest(ts)))
            self._cuts.settle(ts, clock, levels)
        self.next_ms = self._cuts.next_ms

    def closed(self, minute: int) -> Floats | None:
        """Return the snapshots of a minute that the last message closed; None if one is missing.

        They are [snapshots, 2, levels, 2], oldest first: bids and asks, best first, price and size;
        a level that is not there has NaN price and zero size.
        """
        return self._closed.get(minute)

    def _oldest(self, ts: int) -> int:
        """Return the first minute that may have a row, if no message came since the one before it.

        Those that are older have been silent for too long.
        """
        return ts // MS_PER_MINUTE - 1 - self._max_silence // SECONDS_PER_MINUTE

    def _open(self, minute: int) -> None:
        count, levels, interval_ms = self._shape
        ends = interval_ends(np.array([minute]), count, interval_ms)
        books, is_there = np.empty((count, 2, levels, 2)), np.zeros(count, dtype=np.bool_)
        self._minute = minute
        self._cuts = Cuts(ends, self._max_silence, books, is_there)


def interval_ends(minutes: Integers, count: int, interval_ms: int) -> Integers:
    """Return the last millisecond of the last `count` intervals before each close, in order."""
    before = np.arange(count - 1, -1, -1) * interval_ms
    closes = (minutes + 1) * MS_PER_MINUTE
    return np.asarray(closes[:, None] - before - 1, dtype=np.int64).reshape(-1)
