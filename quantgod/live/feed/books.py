"""Pass messages and snapshots to the books of a feed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from quantgod.live.driving import RawKind, drive
from quantgod.live.feed.handover import Link, Position
from quantgod.live.feed.notices import Code, Notice
from quantgod.live.feed.routing import Router
from quantgod.live.feed.state import BookState, wants_snapshot, was_readable
from quantgod.market.binance import DepthEvent, decode
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import Extension, Sync

SHOWN_BYTES = 200
"""Number of bytes of a message that a notice quotes."""


class FeedListener(Protocol):
    """Listens to a feed: called in order, in the event loop, so it must be fast."""

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        """Take a message before the book gets it; `received_ns` is Unix time at arrival."""

    def taken(self, symbol: str, taken: Effect, received: float) -> None:
        """Take the result of a message; `received` is `time.monotonic()` at arrival."""

    def notice(self, notice: Notice) -> None:
        """Take a notice about a connection or a request."""


class SnapshotSource(Protocol):
    """The source of snapshots."""

    def ask(self, symbol: str) -> None:
        """Request a snapshot, unless one is pending."""

    def forget(self, symbol: str) -> None:
        """Forget a symbol's request."""

    def succeeded(self, symbol: str) -> None:
        """Record that the last snapshot gave a valid book."""

    def failure(self) -> BaseException | None:
        """Return an error that no retry can fix, if any."""


class Books:
    """Implements `connections.Receiver`.

    A snapshot is requested after the first message of its symbol: an earlier one could be older
        than
    the first event, and useless.
    """

    def __init__(
        self, books: Mapping[str, BookBars], listener: FeedListener, snapshots: SnapshotSource
    ) -> None:
        self.states = {symbol: BookState() for symbol in books}
        self._books, self._listener, self._snapshots = dict(books), listener, snapshots
        self._router = Router(books)
        self._wanted: set[str] = set()
        self._heard: set[str] = set()
        self._quoted: set[Code] = set()

    def opened(self) -> None:
        """Handle the opening of a stream."""
        self._quoted.clear()
        for symbol in self._books:
            self._feed(symbol, "opened", b"", time.monotonic())

    def closed(self) -> None:
        """Handle the end of the stream: pending snapshots would be too old for the next one."""
        for symbol in self._books:
            self._close(symbol)

    def restart(self, symbol: str) -> None:
        """Start over with one symbol."""
        self._close(symbol)
        self._feed(symbol, "opened", b"", time.monotonic())

    def take(self, symbol: str, data: bytes, received: float) -> bool:
        """Pass a message to the symbol's book; return whether it was a valid depth message."""
        taken = self._feed(symbol, "stream", data, received)
        if was_readable(taken.events):
            self._heard.add(symbol)
            self._ask_if_wanted(symbol)
            return True
        if taken.events:
            self._quote("unreadable_message", symbol, data)
        return False

    def answer(self, symbol: str, body: bytes, received: float) -> bool:
        """Pass a snapshot to the symbol's book; return whether no other is needed."""
        if symbol in self._wanted:
            self._wanted.discard(symbol)
            self._feed(symbol, "snapshot", body, received)
        return symbol not in self._wanted

    def symbols_of(self, data: bytes) -> Sequence[str]:
        """Return the symbols of a message: one, all if unknown, or none."""
        symbols = self._router.symbols_of(data)
        if not symbols:
            self._quote("unexpected_message", "", data)
        return symbols

    def link(self, data: bytes) -> Link | None:
        """Return a depth event's place in its chain."""
        try:
            event = decode(data)
        except MessageError:
            return None
        if not isinstance(event, DepthEvent):
            return None
        return Link(event.previous, event.final, event.ts)

    def position(self, symbol: str) -> Position:
        """Return the position of the symbol's book."""
        return Position(self._books[symbol].sync.last_update_id, self.states[symbol].exchange_ms)

    def notice(self, notice: Notice) -> None:
        """Pass a notice on."""
        self._listener.notice(notice)

    def check(self) -> None:
        """Raise an error of the snapshot source, if any."""
        failure = self._snapshots.failure()
        if failure is not None:
            raise failure

    def _close(self, symbol: str) -> None:
        self._snapshots.forget(symbol)
        self._wanted.discard(symbol)
        self._heard.discard(symbol)
        self._feed(symbol, "closed", b"", time.monotonic())

    def _feed(self, symbol: str, kind: RawKind, data: bytes, received: float) -> Effect:
        arrived_ns = time.time_ns() - int((time.monotonic() - received) * 1e9)
        self._listener.raw(symbol, kind, arrived_ns, data)
        taken = drive(self._books[symbol], kind, data)
        self.states[symbol].note(taken.events)
        if wants_snapshot(taken.events) is not None:
            self._wanted.add(symbol)
        if any(isinstance(event, Sync | Extension) for event in taken.events):
            self._snapshots.succeeded(symbol)
        self._listener.taken(symbol, taken, received)
        return taken

    def _ask_if_wanted(self, symbol: str) -> None:
        if symbol in self._wanted:
            self._snapshots.ask(symbol)

    def _quote(self, code: Code, symbol: str, data: bytes) -> None:
        """Report a message, once per connection: there may be thousands of the kind."""
        if code not in self._quoted:
            self._quoted.add(code)
            symbols = (symbol,) if symbol else tuple(self._books)
            text = f"{len(data)} bytes that begin with {data[:SHOWN_BYTES]!r}"
            self._listener.notice(Notice("warning", code, symbols, text))
