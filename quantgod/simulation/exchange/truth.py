"""Keep an exchange's true books and play their events in the order of exchange time.

A `Market` is one symbol; `Truth` holds the books of several and plays them on one clock. Faults
affect what clients get, but not these books.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from quantgod.contracts import BookUpdate
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book import OrderBook


class TrueEvent(NamedTuple):
    """A change of a book, with its levels in the venue's format: `"b":[…],"a":[…]`."""

    change: DepthEvent
    sides: bytes


class Market(Protocol):
    """One symbol's opening book and events, which can be played once."""

    symbol: str

    def opening(self) -> DepthSnapshot:
        """Return the whole book before the first event."""

    def events(self) -> Iterator[TrueEvent]:
        """Yield the events in order; each `previous` is the `final` before it."""


class Truth:
    """The true books of `markets` after the events played so far.

    Raises:
        ValueError: without a market, or with two of one symbol.
    """

    def __init__(self, markets: Sequence[Market]) -> None:
        self._books = {market.symbol: _MarketCursor(market) for market in markets}
        if not markets or len(self._books) < len(markets):
            given = [market.symbol for market in markets]
            raise ValueError(f"one market or more expected, each of another symbol; got {given}")
        self.symbols = tuple(self._books)
        self.now = min(played.ts for played in self._books.values())
        self._queue: list[tuple[int, str]] = []
        for played in self._books.values():
            self._enqueue(played)

    @property
    def upcoming(self) -> int | None:
        """Return the exchange time (ms) of the next event, or None if all markets have ended."""
        return self._queue[0][0] if self._queue else None

    def advance(self) -> TrueEvent:
        """Apply the next event and return it. There must be one `upcoming`."""
        ts, symbol = heapq.heappop(self._queue)
        self.now = max(self.now, ts)
        played = self._books[symbol]
        event = played.advance()
        self._enqueue(played)
        return event

    def forward(self, ts: int) -> None:
        """Apply all events before an exchange time (ms), without sending them."""
        while self.upcoming is not None and self.upcoming < ts:
            self.advance()

    def book(self, symbol: str) -> OrderBook:
        """Return the book after the last event; the next event changes it."""
        return self._books[symbol].book

    def last_update_id(self, symbol: str) -> int:
        """Return `final` of the last event, or the id of the opening book."""
        return self._books[symbol].last_update_id

    def played(self, symbol: str) -> int:
        """Return the number of played events of the symbol."""
        return self._books[symbol].count

    def snapshot(self, symbol: str, limit: int, draw: random.Random) -> DepthSnapshot:
        """Return a snapshot of the present best `limit` levels per side.

        As at the venue, ids rise between two events, so the id may be any from the last `final` to
        just before the next `final`, at which the next event's changes count as made.
        """
        played = self._books[symbol]
        latest = played.ahead.change.final - 1 if played.ahead else played.last_update_id
        update_id = draw.randint(played.last_update_id, max(latest, played.last_update_id))
        return DepthSnapshot(update_id, played.ts, *played.book.top(limit))

    def _enqueue(self, played: _MarketCursor) -> None:
        if played.ahead:
            heapq.heappush(self._queue, (played.ahead.change.ts, played.symbol))


class _MarketCursor:
    """One market, read one event ahead."""

    def __init__(self, market: Market) -> None:
        self.symbol = market.symbol
        opening = market.opening()
        self.book = OrderBook()
        self.book.replace(opening.bids, opening.asks)
        self.last_update_id, self.ts, self.count = opening.last_update_id, opening.ts, 0
        self._events = market.events()
        self.ahead = next(self._events, None)

    def advance(self) -> TrueEvent:
        event = self.ahead
        if event is None:
            raise RuntimeError(f"{self.symbol}: no event is left")
        change = event.change
        self.book.apply(
            BookUpdate(self.symbol, change.ts, False, change.final, change.bids, change.asks)
        )
        self.last_update_id, self.ts = change.final, change.ts
        self.count += 1
        self.ahead = next(self._events, None)
        return event
