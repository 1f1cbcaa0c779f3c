"""Keep a Binance USDⓈ-M futures book in sync with its stream: messages in, events out.

The futures rule: once the stream is open, its events are buffered. They bring a snapshot with id
`L` up to date: events with `final < L` are already in it, the first applied event has
`previous <= L <= final` (ids lie between events), and then each event's `previous` is the `final`
of the one before. Otherwise the book is out of sync: it is withdrawn at once, and all starts over.

A snapshot shows some levels, and only their range is known. When the best price nears the end of
this range, a fresh snapshot is brought up to date in the same way and widens it; the book stays
valid meanwhile. There is no clock and no socket: ids and exchange times decide.
"""

from __future__ import annotations

from collections import deque

from quantgod.contracts import MS_PER_DAY, MS_PER_SECOND, BookUpdate
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book import OrderBook
from quantgod.market.known_range import KnownBook
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import (
    BeforeChange,
    BeforeGap,
    Change,
    Drop,
    DropReason,
    Event,
    Extension,
    LossReason,
    NeedReason,
    NeedSnapshot,
    OutOfSync,
    Sync,
    nothing,
)

OLD_EVENTS = 50
"""More old events than this in a row are not echoes: the venue has restarted its ids."""

TOLERANCE_MS = MS_PER_SECOND
"""Events later than the snapshot by more than this, yet with lower ids, belong to other ids."""


class BinanceBookSync:
    """Synchronises one symbol's book.

    The feed reports when a stream opens and ends, passes decoded events and errors, and requests a
    snapshot while `needs_snapshot` is true.

    Args:
        symbol: the symbol every event must name.
        buffer_limit: events buffered while a snapshot is awaited.
        beyond_range: follow the price beyond the known range, using changes only. For recordings,
            where no snapshot can be requested: such a book may miss levels.

    Raises:
        ValueError: if the buffer limit is too small.
    """

    def __init__(self, symbol: str, buffer_limit: int, *, beyond_range: bool = False) -> None:
        if buffer_limit < 1:
            raise ValueError(f"a buffer_limit of at least 1 was expected, got {buffer_limit}")
        self.symbol = symbol
        self.before_change: BeforeChange = nothing
        self.before_gap: BeforeGap = nothing
        self._limit = buffer_limit
        self._beyond_range = beyond_range
        self._is_connected = False
        self._is_asking = False  # a snapshot is awaited
        self._known: KnownBook | None = None
        self._fresh: tuple[DepthSnapshot, KnownBook] | None = None  # ahead of the stream so far
        self._buffer: deque[DepthEvent] = deque()  # a chain without a break, since the request
        self._last: DepthEvent | None = None  # the chain's end
        self._waited = 0  # events since the last start without a book
        self._old = 0  # old events in a row

    @property
    def book(self) -> OrderBook | None:
        """Return the book, or None while it is out of sync."""
        return self._known.book if self._known is not None else None

    @property
    def is_synced(self) -> bool:
        """Return whether there is a valid book."""
        return self._known is not None

    @property
    def last_update_id(self) -> int:
        """Return the id of the last change in the book; -1 without a book."""
        if self._known is None or self._last is None:
            return -1
        return self._last.final

    @property
    def known_range(self) -> tuple[float, float] | None:
        """Return the lowest bid and the highest ask up to which the book is known, or None."""
        known = self._known
        return (known.lowest_bid, known.highest_ask) if known is not None else None

    @property
    def needs_snapshot(self) -> bool:
        """Return whether a requested snapshot has not arrived yet."""
        return self._is_asking

    def connected(self) -> list[Event]:
        """Start over: a stream was opened."""
        events = self.disconnected()
        self._is_connected = True
        return [*events, *self._ask("start")]

    def disconnected(self) -> list[Event]:
        """Withdraw the book: the stream ended. Nothing is requested until the next one opens."""
        had_book = self._known is not None
        self._start_over(None)
        self._is_connected = self._is_asking = False
        return [OutOfSync("disconnected", "the stream ended")] if had_book else []

    def receive(self, event: DepthEvent) -> list[Event]:
        """Take an event of the stream."""
        ts, final, previous = event.ts, event.final, event.previous
        if event.symbol != self.symbol:
            detail = f"{self.symbol} expected, got {event.symbol[:30]!r}"
            return self.refuse(MessageError("wrong_symbol", detail))
        last = self._last
        if last is not None:
            if not -MS_PER_DAY < ts - last.ts < MS_PER_DAY:
                detail = f"ts {ts} is more than a day from {last.ts}"
                return self.refuse(MessageError("bad_time", detail))
            if final <= last.final:
                return self._take_old(event, last)
        is_gap = last is not None and previous != last.final
        if is_gap:
            self.before_gap()
        self.before_change(ts)
        self._old = 0
        if self._known is None or last is None:
            return self._wait(event)
        if is_gap:
            return self._lose("gap", f"pu {last.final} expected, got {previous}", event)
        return self._apply(event, self._known)

    def receive_snapshot(self, snapshot: DepthSnapshot) -> list[Event]:
        """Take the answer to a `NeedSnapshot`."""
        if not self._is_asking:
            return [Drop("unasked_snapshot", f"snapshot at {snapshot.last_update_id}")]
        self._is_asking = False
        fresh = KnownBook(self.symbol, snapshot, self._beyond_range)
        if fresh.fault is not None:
            return self._ask("bad_snapshot")
        self._fresh = (snapshot, fresh)
        return self._catch_up()

    def refuse(self, error: MessageError) -> list[Event]:
        """Handle a message that could not be decoded: its changes are lost."""
        if self._known is not None:
            return self._lose(error.reason, str(error), None)
        self._buffer.clear()
        self._last = None
        return [Drop(error.reason, str(error))]

    def _apply(self, event: DepthEvent, known: KnownBook) -> list[Event]:
        self._last = event
        applied = Change(known.apply(event))
        is_asking = self._is_asking or self._fresh is not None
        if known.is_calm and not is_asking:
            return [applied]
        fault = known.fault
        if fault is not None:
            return self._lose(fault, f"after u {event.final}: {known}", event)
        if is_asking:
            return [applied, *self._keep_for_widening(event)]
        self._buffer.append(event)
        return [applied, *self._ask("edge")]

    def _take_old(self, event: DepthEvent, last: DepthEvent) -> list[Event]:
        """Tell an echo from restarted ids: echoes are never newer, and never endless."""
        self._old += 1
        detail = f"u {event.final} after {last.final}"
        if event.ts <= last.ts and self._old <= OLD_EVENTS:
            is_same = event.final == last.final and event.previous == last.previous
            return [Drop("duplicate" if is_same else "late", detail)]
        self.before_gap()
        self.before_change(event.ts)
        self._old = 0
        if self._known is not None:
            return self._lose("sequence_reset", detail, event)
        return self._wait(event)

    def _wait(self, event: DepthEvent) -> list[Event]:
        """Buffer an event for an awaited snapshot, or for one that is ahead of the stream."""
        if not self._is_connected:
            return [Drop("no_book", "no stream is open")]
        self._waited += 1
        if self._waited > self._limit:
            self._start_over(event)
            lost = OutOfSync("overflow", f"{self._limit} events and no snapshot that fits")
            return [lost, *self._ask("overflow")]
        reason = self._reason_to_wait(event)
        if reason == "broken_chain":
            self._buffer.clear()
        self._buffer.append(event)
        self._last = event
        events = self._catch_up()
        waits = Drop(reason, f"u {event.final} after pu {event.previous}")
        return events if self._known is not None else [waits, *events]

    def _reason_to_wait(self, event: DepthEvent) -> DropReason:
        if self._last is not None and event.previous != self._last.final:
            return "broken_chain"
        is_old = self._fresh is not None and event.final < self._fresh[0].last_update_id
        return "out_of_date" if is_old else "no_book"

    def _keep_for_widening(self, event: DepthEvent) -> list[Event]:
        self._buffer.append(event)
        if len(self._buffer) > self._limit:  # the book is sound: only the request starts over
            self._buffer = deque([event])
            return self._ask("overflow")
        return self._catch_up()

    def _catch_up(self) -> list[Event]:
        """Bring the present snapshot, if any, up to the last event, and use it."""
        if self._fresh is None:
            return []
        snapshot, fresh = self._fresh
        while self._buffer and self._buffer[0].final < snapshot.last_update_id:
            self._buffer.popleft()
        if not self._buffer:
            return self._stay_ahead(snapshot)
        if self._buffer[0].previous > snapshot.last_update_id:
            return self._ask("stale_snapshot")
        for event in self._buffer:
            fresh.apply(event)
            if fresh.fault is not None:  # a book that was crossed once is not mended by more events
                return self._ask("bad_snapshot")
        self._fresh = None
        last = self._buffer[-1]
        self._buffer.clear()
        return self._publish(fresh, last) if self._known is None else self._widen(fresh, last)

    def _stay_ahead(self, snapshot: DepthSnapshot) -> list[Event]:
        """Wait for the stream to reach the snapshot, unless its times show that it never will."""
        last = self._last
        if last is None or last.ts <= snapshot.ts + TOLERANCE_MS:
            return []
        self._buffer.append(last)
        return self._ask("stale_snapshot")

    def _publish(self, fresh: KnownBook, last: DepthEvent) -> list[Event]:
        self._known = fresh
        fresh.set_alarms()
        bids, asks = fresh.book.top()
        return [Sync(BookUpdate(self.symbol, last.ts, True, last.final, bids, asks))]

    def _widen(self, fresh: KnownBook, last: DepthEvent) -> list[Event]:
        known = self._known
        if known is None or not known.agrees_with(fresh):
            detail = f"at u {last.final}: {known}, a fresh snapshot gives {fresh}"
            return self._lose("contradiction", detail, last)
        return [Extension(known.widen(fresh, last))]

    def _lose(self, reason: LossReason, detail: str, event: DepthEvent | None) -> list[Event]:
        """Withdraw the book; the buffer for the next one begins with `event`."""
        self._start_over(event)
        return [OutOfSync(reason, detail), *self._ask("lost")]

    def _start_over(self, event: DepthEvent | None) -> None:
        if self._known is not None:
            self._known.book.clear()  # nor may one who still holds it read a price from it
        self._known = self._fresh = None
        self._last = event
        self._buffer = deque() if event is None else deque([event])
        self._waited = len(self._buffer)

    def _ask(self, reason: NeedReason) -> list[Event]:
        self._fresh = None
        self._is_asking = True
        return [NeedSnapshot(reason)]
