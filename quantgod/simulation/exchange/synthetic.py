"""Simulate a small fast market for tests, with far more levels than a snapshot shows.

Its price moves far, so that levels come into view that no snapshot had; this tests how clients
handle the known range of a book.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from quantgod.contracts import Level
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.simulation.exchange.ids import UpdateIds
from quantgod.simulation.exchange.truth import TrueEvent
from quantgod.simulation.exchange.wire import sides

Side = dict[int, int]
"""Lots by price in ticks."""

EMPTY = 0.2
"""Probability that a change away from the touch removes its level."""


@dataclass
class SyntheticMarket:
    """A seeded book of `levels` prices per side around a moving touch, one event per `cadence_ms`.

    A share `moves` of the events moves the touch by up to `reach` ticks, more often up if `drift`
    (-1 to 1) is positive. It ends after `count` events, or never.
    """

    symbol: str
    seed: int = 0
    count: int | None = None
    levels: int = 3000
    changes: int = 20
    moves: float = 0.1
    reach: int = 6
    drift: float = 0.0
    tick: float = 0.1
    price: float = 60000.0
    start_ms: int = 1_704_067_200_000
    cadence_ms: int = 100
    _bids: Side = field(default_factory=dict, repr=False)
    _asks: Side = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)
        self._per_unit = round(1 / self.tick)
        self._bid = round(self.price / self.tick)
        self._ids = UpdateIds(5_000_000_000_000 + self.seed, self.seed)
        for depth in range(self.levels):
            self._bids[self._bid - depth] = self._lots()
            self._asks[self._bid + 1 + depth] = self._lots()

    def opening(self) -> DepthSnapshot:
        """Return the book before the first event."""
        bids, asks = self._levels(self._bids), self._levels(self._asks)
        return DepthSnapshot(self._ids.last, self.start_ms, bids, asks)

    def events(self) -> Iterator[TrueEvent]:
        """Yield one event per `cadence_ms`, sometimes a few ms late."""
        number = 0
        while self.count is None or number < self.count:
            number += 1
            late = int(self._draw.random() * self.cadence_ms * 0.05)
            yield self._event(self.start_ms + number * self.cadence_ms + late)

    def _event(self, ts: int) -> TrueEvent:
        bids: Side = {}
        asks: Side = {}
        if self._draw.random() < self.moves:
            self._move(bids, asks)
        while len(bids) + len(asks) < self.changes:
            self._resize(bids, asks)
        first, final, previous = self._ids.span()
        change = DepthEvent(
            self.symbol, ts, first, final, previous, self._levels(bids), self._levels(asks)
        )
        return TrueEvent(change, sides(change.bids, change.asks))

    def _move(self, bids: Side, asks: Side) -> None:
        """Move the touch: remove levels on one side, add some on the other, keep both depths."""
        ticks = 1 + int(self._draw.random() * self.reach)
        rises = self._draw.random() < (1 + self.drift) / 2
        old = self._bid
        self._bid = new = old + ticks if rises else old - ticks
        for price in range(min(old, new) + 1, max(old, new) + 1):
            self._put(self._bids, bids, price, self._lots() if rises else 0)
            self._put(self._asks, asks, price, 0 if rises else self._lots())
        self._put(self._bids, bids, new, self._lots())
        self._put(self._asks, asks, new + 1, self._lots())
        for depth in range(self.levels - ticks, self.levels):
            if rises:
                self._put(self._bids, bids, old - depth, 0)
                self._put(self._asks, asks, new + 1 + depth, self._lots())
            else:
                self._put(self._bids, bids, new - depth, self._lots())
                self._put(self._asks, asks, old + 1 + depth, 0)

    def _resize(self, bids: Side, asks: Side) -> None:
        """Change one level, more often near the touch."""
        depth = int(self._draw.random() ** 4 * self.levels)
        lots = 0 if depth and self._draw.random() < EMPTY else self._lots()
        if self._draw.random() < 0.5:
            self._put(self._bids, bids, self._bid - depth, lots)
        else:
            self._put(self._asks, asks, self._bid + 1 + depth, lots)

    def _put(self, side: Side, changed: Side, price: int, lots: int) -> None:
        changed[price] = lots
        if lots:
            side[price] = lots
        else:
            side.pop(price, None)

    def _levels(self, side: Side) -> list[Level]:
        return [(price / self._per_unit, lots / 1000) for price, lots in side.items()]

    def _lots(self) -> int:
        return 1 + int(self._draw.random() ** 2 * 5000)
