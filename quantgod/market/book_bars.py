"""From a symbol's messages to its minute bars: its book's synchronisation and the bar kernel.

The clock moves before a message changes the book, and the message counts after it. So a stream
gives what `etl` and `snapshots` give of the same messages in an archive, bit for bit. Pure: no
clock, no socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from quantgod.contracts import (
    BOOK_LEVELS,
    MS_PER_DAY,
    MS_PER_MINUTE,
    MS_PER_SECOND,
    BookShape,
    Floats,
    Level,
)
from quantgod.market.book import OrderBook
from quantgod.market.book_blocks import BlockSampler
from quantgod.market.messages import MessageError
from quantgod.market.minute_bars import MinuteBar, MinuteBars
from quantgod.market.minute_kernel import (
    CLOCK,
    CORRUPT,
    CROSSED,
    GAP,
    NO_BOOK,
    NO_SECOND,
    ONE_SIDED,
)
from quantgod.market.sync_events import (
    BookSync,
    Change,
    Drop,
    DropReason,
    Event,
    Extension,
    LossReason,
    OutOfSync,
    Sync,
)


class ClosedMinute(NamedTuple):
    """A minute that closed, and the best 200 levels a side then, best first; none without a row.

    `snapshots` are those of the book before its close, of a row whose stream is sampled, as
    `BlockSampler.closed` gives them.
    """

    bar: MinuteBar
    bids: list[Level]
    asks: list[Level]
    snapshots: Floats | None = None


class Effect(msgspec.Struct, frozen=True, gc=False):
    """The effect of a message: what it did to the book, and the minutes that it closed."""

    events: list[Event]
    closed: list[ClosedMinute]


STRAYS: Final = 50
"""More messages than this in a row that are a day off are believed."""

LastBefore = Callable[[int], tuple[int, float] | None]
"""The last valid minute before an epoch minute, and its close; `None` if none is known."""


@runtime_checkable
class AsksForSnapshots(Protocol):
    """A state machine whose snapshots come from elsewhere than the stream."""

    def receive_snapshot(self, snapshot: Any) -> list[Event]:
        """Take the answer to a `NeedSnapshot`."""


class BookBars:
    """One symbol's book and bars; every message of its stream goes through here, in order.

    Args:
        sync: The venue's state machine; its `before_change` and `before_gap` are taken over.
        max_silence_seconds: As in `MinuteBars`.
        max_bridge_minutes: As in `MinuteBars`.
        last_before: Asked once, about the minute of the first message: what an earlier run left,
            for a run of minutes that goes on.
        shape: Of the snapshots that a minute brings; None for none.
    """

    __slots__ = (
        "_acts_at",
        "_closed",
        "_is_missing",
        "_last_before",
        "_sampler",
        "_second_ends",
        "_strays",
        "bars",
        "sync",
    )

    def __init__(
        self,
        sync: BookSync,
        max_silence_seconds: int,
        max_bridge_minutes: int,
        last_before: LastBefore | None = None,
        shape: BookShape | None = None,
    ) -> None:
        self.sync = sync
        self.bars = MinuteBars(max_silence_seconds, max_bridge_minutes)
        self._closed: list[ClosedMinute] = []
        self._sampler = None if shape is None else BlockSampler(shape, max_silence_seconds)
        self._second_ends = NO_SECOND  # ms; until then no message moves the clock
        self._acts_at = NO_SECOND  # ms; until then none does that or decides a snapshot
        self._is_missing = False  # the next message tells that others before it are missing
        self._strays = 0  # messages in a row whose time is more than a day off
        self._last_before = last_before
        sync.before_change = self._advance
        sync.before_gap = self._miss

    @property
    def book(self) -> OrderBook | None:
        """The book, or `None` while it is out of sync."""
        return self.sync.book

    def receive(self, message: Any) -> Effect:
        """Take a decoded message of the venue's stream."""
        return self._taken(self.sync.receive(message))

    def receive_snapshot(self, snapshot: Any) -> Effect:
        """Take the answer to a request for a snapshot.

        Raises:
            TypeError: when this venue sends its snapshots within the stream.
        """
        if not isinstance(self.sync, AsksForSnapshots):
            kind = type(self.sync).__name__
            raise TypeError(f"a snapshot of its own was given to {kind}, which asks for none")
        return self._taken(self.sync.receive_snapshot(snapshot))

    def refuse(self, error: MessageError) -> Effect:
        """Take note of a message that could not be read: its minute has no row."""
        return self._taken(self.sync.refuse(error))

    def connected(self) -> Effect:
        """A stream was opened."""
        return self._taken(self.sync.connected())

    def disconnected(self) -> Effect:
        """The stream ended; its minute has no row."""
        return self._taken(self.sync.disconnected())

    def finish(self) -> Effect:
        """End the recording: close the open minute if its last second holds a message."""
        if self.bars.ends_minute:
            self._sample(self._second_ends)
        self._close(self.bars.finish(self.sync.book))
        return self._taken([])

    def _miss(self) -> None:
        """Note that the next message tells of missing ones before it."""
        self.bars.miss()
        self._is_missing, self._acts_at = True, NO_SECOND

    def _advance(self, ts: int) -> None:
        """Move the clock to a message that has changed nothing yet."""
        if self._second_ends - MS_PER_DAY < ts < self._acts_at:
            return
        if self._second_ends >= 0 and abs(ts - self._second_ends) >= MS_PER_DAY:
            self._stray(ts)
        else:
            self._strays = 0
            self._resume(ts)
            self._sample(ts)
            self._close(self.bars.advance(ts, self.sync.book))
        self._plan()

    def _plan(self) -> None:
        """Find the time from which a message has more to do than to change the book."""
        clock = int(self.bars.integers[CLOCK])
        self._second_ends = NO_SECOND if clock < 0 else (clock + 1) * MS_PER_SECOND
        self._acts_at = self._second_ends
        if self._sampler is not None:
            self._acts_at = min(self._acts_at, self._sampler.next_ms + 1)
        self._is_missing = False

    def _sample(self, ts: int) -> None:
        """Decide the snapshots before a message that has changed nothing yet."""
        if self._sampler is not None and ts > self._sampler.next_ms:
            book = None if self._is_missing else self.sync.book
            self._sampler.settle(ts, int(self.bars.integers[CLOCK]), book)

    def _stray(self, ts: int) -> None:
        """A time more than a day off moves no clock, or one wrong message would end all bars.

        Where many in a row say so it is the clock that is wrong, or a day was slept through: bars
        begin anew.
        """
        self.bars.mark(CORRUPT)
        self._strays += 1
        if self._strays > STRAYS:
            self.bars.restart()
            if self._sampler is not None:
                self._sampler.restart()
            self._second_ends = NO_SECOND
            self._advance(ts)

    def _resume(self, ts: int) -> None:
        """At the first message: take what an earlier run left, if anything."""
        if self._last_before is None:
            return
        left, self._last_before = self._last_before(ts // MS_PER_MINUTE), None
        if left is not None:
            self.bars.resume(*left)

    def _close(self, bars: list[MinuteBar]) -> None:
        for bar in bars:
            book = self.sync.book if bar.features is not None else None
            bids, asks = book.top(BOOK_LEVELS) if book is not None else ([], [])
            sampler = self._sampler if book is not None else None
            snapshots = None if sampler is None else sampler.closed(bar.minute)
            self._closed.append(ClosedMinute(bar, bids, asks, snapshots))

    def _taken(self, events: list[Event]) -> Effect:
        for event in events:
            if isinstance(event, _CHANGES):
                book = self.sync.book
                if book is not None:  # it was withdrawn if the next event says so
                    self.bars.record(event.update.ts, book)
            elif isinstance(event, _LOSSES):
                self._mark(event.reason)
        closed, self._closed = self._closed, []
        return Effect(events, closed)

    def _mark(self, reason: LossReason | DropReason) -> None:
        code = _MARKS.get(reason)
        if code is not None:
            self.bars.mark(code)


_CHANGES: Final = (Change, Sync, Extension)
_LOSSES: Final = (OutOfSync, Drop)

_MARKS: Final[dict[LossReason | DropReason, int]] = {
    "gap": GAP,
    "sequence_reset": GAP,
    "contradiction": GAP,
    "overflow": GAP,
    "disconnected": GAP,
    "broken_chain": GAP,
    "crossed": CROSSED,
    "one_sided": ONE_SIDED,
    "out_of_range": NO_BOOK,
    "no_book": NO_BOOK,
    "out_of_date": NO_BOOK,
    "corrupt_json": CORRUPT,
    "bad_type": CORRUPT,
    "bad_number": CORRUPT,
    "wrong_symbol": CORRUPT,
    "bad_time": CORRUPT,
}
"""What each loss, and each message that no book took, leaves of its minute.

An echo (`late`, `duplicate`) and a snapshot that nobody asked for leave it as it was.
"""
