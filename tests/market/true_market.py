"""A small market whose every moment is remembered: what a book under test is held against.

Its book is deeper than its snapshots, its price travels in bursts, and each change has an id, so a
snapshot may be taken in the middle of an event, or between two. Prices are whole numbers.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from quantgod.market.binance import DepthEvent, DepthSnapshot

SYMBOL = "BTCUSDT"
REACH = 70  # ticks a side that are filled at the start
SHOWN = 24  # levels a side of a whole snapshot
SIZES = (0.5, 1.0, 2.25, 7.0)


class Dice(Random):
    """Uniform draws of small numbers, in a fifth of the time that `randint` takes."""

    def number(self, low: int, high: int) -> int:
        """One of `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def one_of(self, values):
        return values[int(self.random() * len(values))]


class Change(NamedTuple):
    id: int
    side: str
    price: float
    size: float


class Moment(NamedTuple):
    """The whole book after an event."""

    event: DepthEvent
    changes: list[Change]
    book: dict[str, dict[float, float]]


class TrueMarket:
    def __init__(self, rng: Dice) -> None:
        self.rng = rng
        self.clock = 1_700_000_000_000
        self.mid = 1000.0
        self.drift = 0.0
        self.resets = 0
        self.book: dict[str, dict[float, float]] = {"b": {}, "a": {}}
        for distance in range(1, REACH):
            self.book["b"][self.mid - distance] = rng.one_of(SIZES)
            self.book["a"][self.mid + distance] = rng.one_of(SIZES)
        self.last_id = 10**9
        self.moments = [Moment(self._event([], self.last_id - 1), [], self._copy())]
        self.by_id = {self.last_id: self.moments[0]}

    def step(self) -> DepthEvent:
        """One event of the venue: some changes, and the price goes where it drifts."""
        previous = self.last_id
        changes = [*self._move(), *self._noise()]
        for change in changes:
            self._put(change)
        self.clock += 100
        event = self._event(changes, previous)
        moment = Moment(event, changes, self._copy())
        self.moments.append(moment)
        self.by_id[event.final] = moment
        return event

    def snapshot(self, age: int = 0, shown: int = SHOWN) -> DepthSnapshot:
        """The best levels, `age` events ago, after some or all changes of that event."""
        place = max(len(self.moments) - 1 - age, 1)
        before, moment = self.moments[place - 1], self.moments[place]
        first = moment.event.previous
        at = self.rng.one_of([moment.event.final, self.rng.number(first, moment.event.final)])
        book = {side: dict(levels) for side, levels in before.book.items()}
        for change in moment.changes:
            if change.id <= at:
                put(book, change)
        bids = sorted(book["b"].items(), reverse=True)[:shown]
        return DepthSnapshot(at, moment.event.ts, bids, sorted(book["a"].items())[:shown])

    def reset(self) -> None:
        """Count anew, from below; no id is ever given twice."""
        self.resets += 1
        self.last_id = 10**9 - self.resets * 10**6

    def _move(self) -> list[Change]:
        rng = self.rng
        if rng.random() < 0.04:
            self.drift = rng.one_of([-1.0, 0.0, 0.0, 1.0])
        step = self.drift * rng.number(0, 3) if self.drift else rng.one_of([-1.0, 0.0, 0.0, 1.0])
        self.mid += step
        fell, risen = ("b", "a") if step < 0 else ("a", "b")
        sign = -1.0 if step < 0 else 1.0
        swept = [p for p in self.book[fell] if (self.mid - p) * sign >= 0] if step else []
        filled = [self.mid - sign * d for d in range(1, int(abs(step)) + 1) if rng.random() < 0.8]
        return [
            *(self._change(fell, price, 0.0) for price in swept),
            *(self._change(risen, price, rng.one_of(SIZES)) for price in filled),
        ]

    def _noise(self) -> list[Change]:
        rng = self.rng
        changes = []
        for _ in range(rng.number(0, 5)):
            side = rng.one_of("ba")
            reach = 8 if rng.random() < 0.6 else REACH
            distance = rng.number(1, reach)
            price = self.mid - distance if side == "b" else self.mid + distance
            size = 0.0 if rng.random() < 0.35 else rng.one_of(SIZES)
            changes.append(self._change(side, price, size))
        return changes

    def _change(self, side: str, price: float, size: float) -> Change:
        self.last_id += self.rng.number(1, 4)
        return Change(self.last_id, side, price, size)

    def _put(self, change: Change) -> None:
        put(self.book, change)

    def _event(self, changes: list[Change], previous: int) -> DepthEvent:
        self.last_id += self.rng.number(0 if changes else 1, 2)
        first = min(changes[0].id if changes else self.last_id, previous + self.rng.number(1, 2))
        last = {(change.side, change.price): change.size for change in changes}
        bids = [(price, size) for (side, price), size in last.items() if side == "b"]
        asks = [(price, size) for (side, price), size in last.items() if side == "a"]
        return DepthEvent(SYMBOL, self.clock, first, self.last_id, previous, bids, asks)

    def _copy(self) -> dict[str, dict[float, float]]:
        return {side: dict(levels) for side, levels in self.book.items()}


def put(book: dict[str, dict[float, float]], change: Change) -> None:
    if change.size:
        book[change.side][change.price] = change.size
    else:
        book[change.side].pop(change.price, None)
