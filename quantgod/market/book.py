"""Keep an order book as one dictionary per side: the reference for every faster book.

The whole book is kept and cut only on output: a trimmed book would lose levels that come back into
view. The best prices of each side are also kept sorted, so that removing the best level needs no
search, and changes far from the touch cost nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from math import inf
from typing import Final

from quantgod.contracts import BookUpdate, Level

DEEP_LEVELS: Final = 5
"""Levels per side that the deep imbalance sums over."""

NEAR: Final = 64
"""Prices per side that are sorted at a time; new prices among them are inserted in order."""

NEAR_LIMIT: Final = 160


class OrderBook:
    """Maps price to size on each side. An empty side has its best price at minus or plus infinity.

    `bids` and `asks` are read-only: a direct change would not reach the sorted prices.
    """

    __slots__ = (
        "_ask_edge",
        "_bid_edge",
        "_near_asks",
        "_near_bids",
        "asks",
        "best_ask",
        "best_bid",
        "bids",
    )

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        # Rising prices at the edge or better; the edge is infinite if these are all prices.
        self._near_bids: list[float] = []
        self._near_asks: list[float] = []
        self.clear()

    def apply(self, update: BookUpdate) -> None:
        """Apply changes, or replace the whole book by a snapshot. A size of zero removes a level.

        Levels are applied in the given order; removing an absent level changes nothing.
        """
        if update.is_snapshot:
            self.clear()
        self._apply_bids(update.bids)
        self._apply_asks(update.asks)

    def clear(self) -> None:
        """Empty both sides."""
        self.bids.clear()
        self.asks.clear()
        self._order_bids()
        self._order_asks()

    def replace(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Replace all levels by these."""
        self.bids, self.asks = dict(bids), dict(asks)
        self._order_bids()
        self._order_asks()

    @property
    def is_one_sided(self) -> bool:
        """Return whether a side (or both) has no level."""
        return not (self.bids and self.asks)

    @property
    def is_crossed(self) -> bool:
        """Return whether the best bid is at or above the best ask."""
        return self.best_bid >= self.best_ask

    def top(self, levels: int | None = None) -> tuple[list[Level], list[Level]]:
        """Return the best `levels` bids and asks (default: all), best first."""
        bids, asks = self.bids, self.asks
        deepest = max(len(bids), len(asks)) if levels is None else levels
        return (
            [(price, bids[price]) for price in self._best_bids(deepest)],
            [(price, asks[price]) for price in self._best_asks(deepest)],
        )

    def quote(self) -> Quote | None:
        """Return what a second sample needs, or None while a side is empty."""
        if self.is_one_sided:
            return None
        bids, asks, bid_depth, ask_depth = self.bids, self.asks, 0.0, 0.0
        # Not `sum`: since Python 3.12 it compensates; faster books could not give the same bits.
        for price in self._best_bids(DEEP_LEVELS):
            bid_depth += bids[price]
        for price in self._best_asks(DEEP_LEVELS):
            ask_depth += asks[price]
        bid, ask = self.best_bid, self.best_ask
        return bid, bids[bid], ask, asks[ask], bid_depth, ask_depth

    def _apply_bids(self, levels: list[Level]) -> None:
        bids, near, edge = self.bids, self._near_bids, self._bid_edge
        for price, size in levels:
            if size:
                if price >= edge and price not in bids:
                    insort(near, price)
                bids[price] = size
            elif bids.pop(price, None) is not None and price >= edge:
                del near[bisect_left(near, price)]
        if DEEP_LEVELS <= len(near) <= NEAR_LIMIT:
            self.best_bid = near[-1]
        else:
            self._order_bids()

    def _apply_asks(self, levels: list[Level]) -> None:
        asks, near, edge = self.asks, self._near_asks, self._ask_edge
        for price, size in levels:
            if size:
                if price <= edge and price not in asks:
                    insort(near, price)
                asks[price] = size
            elif asks.pop(price, None) is not None and price <= edge:
                del near[bisect_left(near, price)]
        if DEEP_LEVELS <= len(near) <= NEAR_LIMIT:
            self.best_ask = near[0]
        else:
            self._order_asks()

    def _order_bids(self) -> None:
        self._near_bids = near = sorted(self.bids)[-NEAR:]
        is_all = len(near) == len(self.bids)
        self._bid_edge = -inf if is_all else near[0]
        self.best_bid = near[-1] if near else -inf

    def _order_asks(self) -> None:
        self._near_asks = near = sorted(self.asks)[:NEAR]
        is_all = len(near) == len(self.asks)
        self._ask_edge = inf if is_all else near[-1]
        self.best_ask = near[0] if near else inf

    def _best_bids(self, count: int) -> list[float]:
        if count > len(self._near_bids) and count <= NEAR:
            self._order_bids()
        near = self._near_bids if count <= len(self._near_bids) else sorted(self.bids)
        return near[: -count - 1 : -1]

    def _best_asks(self, count: int) -> list[float]:
        if count > len(self._near_asks) and count <= NEAR:
            self._order_asks()
        near = self._near_asks if count <= len(self._near_asks) else sorted(self.asks)
        return near[:count]


Quote = tuple[float, float, float, float, float, float]
"""Best bid price and size, best ask price and size, summed sizes of the best 5 bids and 5 asks.

The sums run from the best level outward, so that all books give the same bits.
"""
