"""The true books of an exchange and the events that change them, in the order of exchange time.

A `Market` is one symbol; the `Truth` holds the books of several and plays them against one clock.
What a client is sent may be spoilt on the way; what stands here never is.
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
    """A change of a book, and its levels as the venue writes them: `"b":[…],"a":[…]`."""

    change: DepthEvent
    sides: bytes


class Market(Protocol):
    """One symbol: the book it opens with, and what happens to it. Played once."""

    symbol: str

    def opening(self) -> DepthSnapshot:
        """The whole book before the first event."""

    def events(self) -> Iterator[TrueEvent]:
        """The events in order; each `previous` is the `final` before it. Ends where the data do."""


class Truth:
    """The true books of `markets`, as they are after the events played so far.

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
        """Exchange time (ms) of the next event, or `None` where all markets have ended."""
        return self._queue[0][0] if self._queue else None

    def advance(self) -> TrueEvent:
        """Let the next event happen, and return it. There must be one `upcoming`."""
        ts, symbol = heapq.heappop(self._queue)
        self.now = max(self.now, ts)
        played = self._books[symbol]
        event = played.advance()
        self._enqueue(played)
        return event

    def forward(self, ts: int) -> None:
        """Let everything happen that comes before an exchange time (ms), heard by nobody."""
        while self.upcoming is not None and self.upcoming < ts:
            self.advance()

    def book(self, symbol: str) -> OrderBook:
        """The book after the last event; it changes with the next."""
        return self._books[symbol].book

    def last_update_id(self, symbol: str) -> int:
        """`final` of the last event, before the first one the id of the opening book."""
        return self._books[symbol].last_update_id

    def played(self, symbol: str) -> int:
        """How many events of the symbol have happened."""
        return self._books[symbol].count

    def snapshot(self, symbol: str, limit: int, draw: random.Random) -> DepthSnapshot:
        """The best `limit` levels a side, now.

        As at the venue, ids run on between two events; so the id may be any from the last `final`
        to just before the next, whose changes count as made by its very last id.
        """
        played = self._books[symbol]
        latest = played.ahead.change.final - 1 if played.ahead else played.last_update_id
        update_id = draw.randint(played.last_update_id, max(latest, played.last_update_id))
        return DepthSnapshot(update_id, played.ts, *played.book.top(limit))

    def _enqueue(self, played: _MarketCursor) -> None:
        if played.ahead:
            heapq.heappush(self._queue, (played.ahead.change.ts, played.symbol))


class _MarketCursor:
    """One market with one event looked ahead."""

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
