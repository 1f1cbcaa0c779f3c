"""The order book as a dictionary a side: readable, and what every faster book is compared with.

The whole book is kept and cut only on output: a book trimmed to what is shown loses the levels that
come back into view.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from math import inf

from quantgod.contracts import BookUpdate, Level

DEEP_LEVELS = 5
"""Levels a side that the deep imbalance sums over."""


class OrderBook:
    """Price to size a side. An empty side has its best price at minus or plus infinity."""

    __slots__ = ("asks", "best_ask", "best_bid", "bids")

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.best_bid = -inf
        self.best_ask = inf

    def apply(self, update: BookUpdate) -> None:
        """Apply changes, or replace the whole book by a snapshot. A size of zero removes a level.

        Levels are taken in the order they come; removing an absent level changes nothing.
        """
        if update.is_snapshot:
            self.clear()
        bids, best = self.bids, self.best_bid
        for price, size in update.bids:
            if size:
                bids[price] = size
                if price > best:  # noqa: PLR1730 - `max` takes twice as long
                    best = price
            else:
                bids.pop(price, None)
        self.best_bid = best if best in bids else max(bids, default=-inf)
        asks, best = self.asks, self.best_ask
        for price, size in update.asks:
            if size:
                asks[price] = size
                if price < best:  # noqa: PLR1730
                    best = price
            else:
                asks.pop(price, None)
        self.best_ask = best if best in asks else min(asks, default=inf)

    def clear(self) -> None:
        """Empty both sides."""
        self.bids.clear()
        self.asks.clear()
        self.best_bid, self.best_ask = -inf, inf

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Put these levels in place of all others."""
        self.bids, self.asks = dict(bids), dict(asks)
        self.best_bid = max(self.bids, default=-inf)
        self.best_ask = min(self.asks, default=inf)

    @property
    def is_one_sided(self) -> bool:
        """Whether a side (or both) holds no level."""
        return not (self.bids and self.asks)

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid is at or above the best ask."""
        return self.best_bid >= self.best_ask

    def top(self, levels: int | None = None) -> tuple[list[Level], list[Level]]:
        """The best `levels` bids and asks (all of them by default), best first."""
        bids = sorted(self.bids.items(), reverse=True)
        asks = sorted(self.asks.items())
        return bids[:levels], asks[:levels]

    def quote(self) -> Quote | None:
        """What a second sample needs to know, or `None` while a side is empty."""
        if self.is_one_sided:
            return None
        bid_depth = ask_depth = 0.0
        # Not `sum`: since Python 3.12 it compensates, and other books could not give the same bits.
        for price in heapq.nlargest(DEEP_LEVELS, self.bids):
            bid_depth += self.bids[price]
        for price in heapq.nsmallest(DEEP_LEVELS, self.asks):
            ask_depth += self.asks[price]
        bid, ask = self.best_bid, self.best_ask
        return bid, self.bids[bid], ask, self.asks[ask], bid_depth, ask_depth


Quote = tuple[float, float, float, float, float, float]
"""Best bid price and size, best ask price and size, summed sizes of the best 5 bids and 5 asks.

The sums run from the best level outward, so that every book gives the same bits.
"""
