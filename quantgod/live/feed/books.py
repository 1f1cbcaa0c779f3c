"""The books behind a feed: each gets its messages, and a snapshot when it needs one."""

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
from quantgod.market.book_bars import BookBars, Taken
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import Synced, Widened

SHOWN_BYTES = 200
"""Of a message that a notice quotes."""


class FeedListener(Protocol):
    """Hears all that a feed does: in order, in the event loop; so it must be quick."""

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        """A message is about to be given to the book; `received_ns` is Unix time at arrival."""

    def taken(self, symbol: str, taken: Taken, received: float) -> None:
        """What came of it; `received` is `time.monotonic()` at arrival."""

    def notice(self, notice: Notice) -> None:
        """Something happened to a connection or a request."""


class SnapshotSource(Protocol):
    """Where snapshots come from."""

    def ask(self, symbol: str) -> None:
        """Fetch one, unless one is on its way."""

    def forget(self, symbol: str) -> None:
        """Nobody waits for it any more."""

    def succeeded(self, symbol: str) -> None:
        """A book came of the last one."""

    def failure(self) -> BaseException | None:
        """What went wrong that no retry mends."""


class Books:
    """Implements `connections.Receiver`.

    A snapshot is asked for once the stream has spoken of the symbol: an earlier one could be older
    than the first event and would be for nothing.
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
        """A stream was opened."""
        self._quoted.clear()
        for symbol in self._books:
            self._feed(symbol, "opened", b"", time.monotonic())

    def closed(self) -> None:
        """The stream ended: what is still asked for would be too old for the next one."""
        for symbol in self._books:
            self._close(symbol)

    def restart(self, symbol: str) -> None:
        """Begin anew with one symbol."""
        self._close(symbol)
        self._feed(symbol, "opened", b"", time.monotonic())

    def take(self, symbol: str, data: bytes, received: float) -> bool:
        """Give a message to the symbol's book; gives whether it was depth that could be read."""
        taken = self._feed(symbol, "stream", data, received)
        if was_readable(taken.events):
            self._heard.add(symbol)
            self._ask_if_wanted(symbol)
            return True
        if taken.events:
            self._quote("unreadable_message", symbol, data)
        return False

    def answer(self, symbol: str, body: bytes, received: float) -> bool:
        """Give a snapshot to the symbol's book; gives whether it needs no other."""
        if symbol in self._wanted:
            self._wanted.discard(symbol)
            self._feed(symbol, "snapshot", body, received)
        return symbol not in self._wanted

    def symbols_of(self, data: bytes) -> Sequence[str]:
        """Whose a message is: one symbol's, everybody's if that cannot be told, or nobody's."""
        symbols = self._router.symbols_of(data)
        if not symbols:
            self._quote("unexpected_message", "", data)
        return symbols

    def link(self, data: bytes) -> Link | None:
        """A depth event's place in its chain."""
        try:
            event = decode(data)
        except MessageError:
            return None
        if not isinstance(event, DepthEvent):
            return None
        return Link(event.previous, event.final, event.ts)

    def position(self, symbol: str) -> Position:
        """Where the symbol's book stands."""
        return Position(self._books[symbol].sync.last_update_id, self.states[symbol].exchange_ms)

    def notice(self, notice: Notice) -> None:
        """Pass a notice on."""
        self._listener.notice(notice)

    def check(self) -> None:
        """Raise what went wrong where snapshots are fetched."""
        failure = self._snapshots.failure()
        if failure is not None:
            raise failure

    def _close(self, symbol: str) -> None:
        self._snapshots.forget(symbol)
        self._wanted.discard(symbol)
        self._heard.discard(symbol)
        self._feed(symbol, "closed", b"", time.monotonic())

    def _feed(self, symbol: str, kind: RawKind, data: bytes, received: float) -> Taken:
        arrived_ns = time.time_ns() - int((time.monotonic() - received) * 1e9)
        self._listener.raw(symbol, kind, arrived_ns, data)
        taken = drive(self._books[symbol], kind, data)
        self.states[symbol].note(taken.events)
        if wants_snapshot(taken.events) is not None:
            self._wanted.add(symbol)
        if any(isinstance(event, Synced | Widened) for event in taken.events):
            self._snapshots.succeeded(symbol)
        self._listener.taken(symbol, taken, received)
        return taken

    def _ask_if_wanted(self, symbol: str) -> None:
        if symbol in self._wanted:
            self._snapshots.ask(symbol)

    def _quote(self, code: Code, symbol: str, data: bytes) -> None:
        """Show what came, once a connection: there may be thousands of the kind."""
        if code not in self._quoted:
            self._quoted.add(code)
            symbols = (symbol,) if symbol else tuple(self._books)
            text = f"{len(data)} bytes that begin with {data[:SHOWN_BYTES]!r}"
            self._listener.notice(Notice("warning", code, symbols, text))
