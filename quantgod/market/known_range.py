"""Keep a book that a snapshot shows only in part: levels outside are unknown, not empty.

A side is known from its best price to the worst price in a snapshot. The book holds exactly the
levels within; changes of other levels say nothing about their neighbours and are ignored, unless a
recording, which cannot offer a fresh snapshot, shall be followed beyond its known range.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import Literal

from quantgod.contracts import BookUpdate, Level
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book import DEEP_LEVELS, OrderBook

Fault = Literal["crossed", "out_of_range"]


class KnownBook:
    """A book and the range up to which each side is known."""

    __slots__ = (
        "_ask_alarm",
        "_beyond",
        "_bid_alarm",
        "_fewest_asks",
        "_fewest_bids",
        "book",
        "highest_ask",
        "lowest_bid",
    )

    def __init__(self, symbol: str, snapshot: DepthSnapshot, beyond_range: bool) -> None:
        last_id, ts, bids, asks = snapshot
        self.book = OrderBook()
        self.book.apply(BookUpdate(symbol, ts, True, last_id, bids, asks))
        self.lowest_bid = min(self.book.bids, default=inf)
        self.highest_ask = max(self.book.asks, default=-inf)
        self._beyond = beyond_range
        self.set_alarms()

    def apply(self, event: DepthEvent) -> BookUpdate:
        """Apply the event's changes within the known range, and return those changes."""
        bids, asks = event.bids, event.asks
        if not self._beyond:
            lowest, highest = self.lowest_bid, self.highest_ask
            bids = [level for level in bids if level[0] >= lowest]
            asks = [level for level in asks if level[0] <= highest]
        update = BookUpdate(event.symbol, event.ts, False, event.final, bids, asks)
        self.book.apply(update)
        return update

    def __str__(self) -> str:
        book = self.book
        depth = f"{len(book.bids)} bids, {len(book.asks)} asks"
        return f"best {book.best_bid} / {book.best_ask} of {depth}"

    @property
    def fault(self) -> Fault | None:
        """Return why the book must not be traded on, or None."""
        book = self.book
        if book.is_crossed:
            return "crossed"
        is_thin = len(book.bids) < DEEP_LEVELS or len(book.asks) < DEEP_LEVELS
        return "out_of_range" if is_thin else None

    @property
    def is_calm(self) -> bool:
        """Return whether there is no fault and each side has at least half its last range.

        This is so after nearly every event.
        """
        book = self.book
        return (
            self._bid_alarm <= book.best_bid < book.best_ask <= self._ask_alarm
            and len(book.bids) >= self._fewest_bids
            and len(book.asks) >= self._fewest_asks
        )

    def set_alarms(self) -> None:
        """Measure the present range, with half of which `is_calm` compares."""
        self._bid_alarm = (self.book.best_bid + self.lowest_bid) / 2
        self._ask_alarm = (self.book.best_ask + self.highest_ask) / 2
        self._fewest_bids = max(DEEP_LEVELS, len(self.book.bids) // 2)
        self._fewest_asks = max(DEEP_LEVELS, len(self.book.asks) // 2)

    def agrees_with(self, other: KnownBook) -> bool:
        """Return whether the two books hold the same levels where both are known."""
        lowest = max(self.lowest_bid, other.lowest_bid)
        highest = min(self.highest_ask, other.highest_ask)
        return self._within(lowest, highest) == other._within(lowest, highest)

    def widen(self, other: KnownBook, last: DepthEvent) -> BookUpdate:
        """Add the levels of `other` (its state after `last`) beyond the known range."""
        theirs = other.book
        bids = _between(theirs.bids, other.lowest_bid, nextafter(self.lowest_bid, -inf))
        asks = _between(theirs.asks, nextafter(self.highest_ask, inf), other.highest_ask)
        update = BookUpdate(last.symbol, last.ts, False, last.final, bids, asks)
        self.book.apply(update)
        self.lowest_bid = min(self.lowest_bid, other.lowest_bid)
        self.highest_ask = max(self.highest_ask, other.highest_ask)
        self.set_alarms()
        return update

    def _within(self, lowest: float, highest: float) -> tuple[set[Level], set[Level]]:
        bids, asks = self.book.bids, self.book.asks
        return {*_between(bids, lowest, inf)}, {*_between(asks, -inf, highest)}


def _between(side: dict[float, float], lowest: float, highest: float) -> list[Level]:
    return [level for level in side.items() if lowest <= level[0] <= highest]
