"""The simulated market as a venue's days would be recorded: with silences, losses and restarts.

`u` is counted anew over what is written, so a silence loses no id and a loss does.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator

from quantgod.market.bybit import decode
from quantgod.simulation.market import SimulatedMarket
from tests.archive.streams import encode, message

_ID = re.compile(rb'"u":\d+')

Break = Callable[["BrokenMarket", int, int], Iterator[bytes]]


class BrokenMarket:
    """Lines of a market, day after day, with each of `BREAKS` in turn, `breaks` times a day."""

    def __init__(self, market: SimulatedMarket, cadence_ms: int, breaks: int, seed: int) -> None:
        self.market, self.cadence_ms = market, cadence_ms
        self.random = random.Random(seed)
        self.last_id = 1_000
        self._next = 0  # the first message of the day that was not asked for yet
        self._breaks = breaks
        self._kinds = itertools.cycle(BREAKS)

    def day(self, day: int, *, late: int = 0, early: int = 0) -> Iterator[bytes]:
        """The lines of a day without its first `late` and its last `early` messages."""
        end = self.market.messages_a_day - early
        self._next = 0
        if late:
            yield from silence(self, day, 0, messages=late)
        room = (end - self._next) // self._breaks
        for spot in range(self._next + room // 2, end - room // 2, room):
            place = spot + self.random.randrange(room // 4)
            yield from self.plain(day, self._next, place - self._next)
            yield from next(self._kinds)(self, day, place)
        yield from self.plain(day, self._next, end - self._next)
        self.market.lines(day, end, early)

    def plain(self, day: int, first: int, count: int) -> Iterator[bytes]:
        """Messages as the market writes them; `u` goes on from the last line."""
        self._next = first + count
        for line in self.market.lines(day, first, count).splitlines():
            yield self.numbered(line)

    def skipped(self, day: int, first: int, count: int) -> list[bytes]:
        """Messages that are not written as they are."""
        self._next = first + count
        return self.market.lines(day, first, count).splitlines()

    def numbered(self, line: bytes) -> bytes:
        self.last_id += 1
        return _ID.sub(b'"u":%d' % self.last_id, line, count=1)

    def snapshot(self, line: bytes) -> bytes:
        """The whole book as it is now, in place of the message that came last."""
        bids, asks = (
            [[f"{price:.2f}", f"{size:.3f}"] for price, size in side] for side in self.market.book()
        )
        ts, symbol = decode(line).ts, self.market.symbol
        return self.numbered(encode(message(ts, 0, bids, asks, kind="snapshot", symbol=symbol)))


def silence(
    broken: BrokenMarket, day: int, at: int, *, messages: int, whole: bool = True
) -> Iterator[bytes]:
    """Nothing for some messages; the next one has all that changed, or the whole book."""
    held = broken.skipped(day, at, messages + 1)
    if whole:
        yield broken.snapshot(held[-1])
        return
    updates = [decode(line) for line in held]
    sides = [{}, {}]
    for update in updates:
        for side, levels in zip(sides, (update.bids, update.asks), strict=True):
            side.update(levels)
    bids, asks = ([[f"{p:.2f}", f"{s:.3f}"] for p, s in side.items()] for side in sides)
    changes = message(updates[-1].ts, 0, bids, asks, symbol=broken.market.symbol)
    yield broken.numbered(encode(changes))


def _seconds(seconds: float, *, whole: bool) -> Break:
    def of_some_seconds(broken: BrokenMarket, day: int, at: int) -> Iterator[bytes]:
        messages = round(seconds * 1_000 / broken.cadence_ms)
        return silence(broken, day, at, messages=messages, whole=whole)

    return of_some_seconds


def _loss(*, jump: int) -> Break:
    """Messages are lost; those after them are of no use until a snapshot comes."""

    def loss(broken: BrokenMarket, day: int, at: int) -> Iterator[bytes]:
        lost, useless = broken.random.randint(1, 9), broken.random.randint(0, 60)
        broken.skipped(day, at, lost)
        broken.last_id += lost
        yield from broken.plain(day, at + lost, useless)
        broken.last_id += jump
        yield broken.snapshot(broken.skipped(day, at + lost + useless, 1)[0])

    return loss


def _restart(broken: BrokenMarket, day: int, at: int) -> Iterator[bytes]:
    broken.last_id = 0
    yield broken.snapshot(broken.skipped(day, at, 1)[0])


def _echo(broken: BrokenMarket, day: int, at: int) -> Iterator[bytes]:
    """A message comes twice, then the one before it once more."""
    first, second = broken.plain(day, at, 2)
    yield from (first, second, second, first)


def _late(broken: BrokenMarket, day: int, at: int) -> Iterator[bytes]:
    """A message in its place, with a time of some seconds ago."""
    (line,) = broken.plain(day, at, 1)
    ts = decode(line).ts
    yield line.replace(b'"ts":%d' % ts, b'"ts":%d' % (ts - 7_000))


BREAKS: tuple[Break, ...] = (
    _seconds(3, whole=False),
    _loss(jump=0),
    _seconds(240, whole=True),
    _echo,
    _seconds(20, whole=False),
    _restart,
    _loss(jump=5),
    _seconds(420, whole=False),
    _late,
)
