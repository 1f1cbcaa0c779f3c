"""A seeded synthetic market that speaks Bybit's order-book feed and keeps the true book.

The same seed gives the same bytes, however the messages are cut into calls. Time is what the caller
says it is: message i of the market is at `start_ms + i * cadence`, plus a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from quantgod.contracts import MS_PER_DAY, MS_PER_MINUTE
from quantgod.market.price_path import KNOTS_PER_MINUTE, PricePath
from quantgod.market.simulated_book import (
    COUNT,
    START,
    Ints,
    Random,
    Rules,
    Side,
    churn,
    drop_cancelled,
    empty_side,
    move_touch,
    uniform,
)
from quantgod.market.wire_writer import Bytes, Stamp, Wire, wire, write_message
from quantgod.settings import SimulateSettings

KNOT_MS: Final = MS_PER_MINUTE // KNOTS_PER_MINUTE
CHUNK_BYTES: Final = 4 << 20
LEVEL_BYTES: Final = 48
FIRST_UPDATE: Final = 20_000_000
FIRST_SEQUENCE: Final = 130_000_000_000

# Places in the market's notes: ticks between the best prices, and the sequence number.
_SPREAD, _SEQUENCE = 0, 1


class Clock(NamedTuple):
    """Message i is at `start_ms + i * cadence_ms`, later by less than `jitter_ms`."""

    start_ms: int
    cadence_ms: int
    jitter_ms: int


class SimulatedMarket:
    """A market on a given path; ask it for messages in rising order, at least the first of a day.

    Args:
        symbol: As it stands in topic and data.
        settings: Levels, cadence, seed, tick and changes a message are used.
        path: The mid's path from `start_ms` on, in price units.
        start_ms: Midnight of the first day, epoch ms.

    Raises:
        ValueError: where the path falls so low that the bids would reach zero.
    """

    def __init__(
        self, symbol: str, settings: SimulateSettings, path: PricePath, start_ms: int
    ) -> None:
        self.symbol, self.levels = symbol, settings.levels
        self._tick = Decimal(str(settings.tick))
        self._knots = path.knots / settings.tick
        self._lean = path.lean
        self._changes = float(settings.changes)
        self._clock = Clock(start_ms, settings.cadence_ms, max(settings.cadence_ms // 20, 1))
        self._rules = Rules(settings.levels, self._gap(), near_lots=1500.0, deep_lots=600.0)
        self._refuse_low_prices(path)
        self._random = np.array([settings.seed * 2 + 1], np.uint64)
        self._bids, self._asks = empty_side(settings.levels), empty_side(settings.levels)
        self._notes = np.array([1, FIRST_SEQUENCE], np.int64)
        self._credit = np.zeros(1)
        self._room = 8 * settings.levels * LEVEL_BYTES + 1024
        self._out = np.empty(CHUNK_BYTES + self._room, np.uint8)

    @property
    def messages_a_day(self) -> int:
        """How many messages there are from midnight to midnight."""
        return -(-MS_PER_DAY // self._clock.cadence_ms)

    def day(self, day: int) -> Iterator[bytes]:
        """The lines of one day, in chunks of whole lines; the first line is a snapshot.

        Days and their `u` follow each other: message 0 of day 1 comes after the last of day 0.
        """
        first = day * self.messages_a_day
        yield self.lines(day, 0, 1)
        done = 1
        while done < self.messages_a_day:
            chunk, count = self._write(first + done, self.messages_a_day - done, day)
            yield chunk
            done += count

    def lines(self, day: int, first: int, count: int) -> bytes:
        """`count` whole lines of a day from its message `first` on; message 0 is a snapshot."""
        begin, parts, done = day * self.messages_a_day + first, [], 0
        while done < count:
            chunk, written = self._write(begin + done, count - done, day)
            parts.append(chunk)
            done += written
        return b"".join(parts)

    def book(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """The true book after the last message: bids and asks, (price, size), best first."""
        return self._side(self._bids, -1), self._side(self._asks, 1)

    def _side(self, side: Side, sign: int) -> list[tuple[Decimal, Decimal]]:
        begin, end = side.notes[START], side.notes[START] + side.notes[COUNT]
        return [
            (sign * int(key) * self._tick, Decimal(int(lots)).scaleb(-3))
            for key, lots in zip(side.key[begin:end], side.size[begin:end], strict=True)
        ]

    def _write(self, first: int, count: int, day: int) -> tuple[bytes, int]:
        parts = self._wire(type_first=day % 2 == 0)
        end, written = _write_messages(
            self._out,
            self._room,
            (first, count, day * self.messages_a_day),
            (self._bids, self._asks, self._rules),
            (self._knots, self._lean, self._clock, self._changes),
            (self._notes, self._credit, self._random),
            parts,
        )
        return self._out[:end].tobytes(), written

    def _wire(self, *, type_first: bool) -> Wire:
        """Prices are written with two decimals at least, as the venue does (`16493.50`)."""
        decimals = max(2, -int(self._tick.normalize().as_tuple().exponent))
        units = int(self._tick.scaleb(decimals))
        return wire(
            self.symbol,
            self.levels,
            type_first=type_first,
            units=units,
            price_decimals=decimals,
        )

    def _gap(self) -> int:
        """Mean ticks between levels: so wide that moves of the touch use half the changes."""
        travelled = float(np.abs(np.diff(self._knots)).mean()) * self._clock.cadence_ms / KNOT_MS
        return max(2, round(8 * travelled / self._changes))

    def _refuse_low_prices(self, path: PricePath) -> None:
        lowest, deepest = float(self._knots.min()), 3 * self._rules.gap * self._rules.depth
        if lowest <= deepest:
            raise ValueError(
                f"the price falls to {path.knots.min():g}, which is {lowest:.0f} ticks of "
                f"{self._tick}: {self.levels} levels need more than {deepest}; use a smaller tick"
            )


@njit(cache=True)
def _write_messages(
    out: Bytes, room: int, span: Any, book: Any, tape: Any, state: Any, wire: Wire
) -> Any:
    """Write messages until `span`'s count is reached or less than `room` bytes are left.

    Returns the bytes written and the messages written.
    """
    first, count, snapshot = span
    bids, asks, rules = book
    knots, lean, clock, changes = tape
    notes, credit, random = state
    at = written = 0
    while written < count and at + room <= out.size:
        message = first + written
        is_snapshot = message == snapshot
        elapsed = message * clock.cadence_ms
        tilt = lean[min(elapsed // MS_PER_MINUTE, lean.size - 1)]
        bid, ask = _touch(knots, elapsed, notes, random)
        move_touch(bids, -bid, tilt, rules, message + 1, random)
        move_touch(asks, ask, -tilt, rules, message + 1, random)
        if not is_snapshot:
            _spend(bids, asks, tilt, rules, message + 1, credit[0], random)
        stamp = _stamp(clock, elapsed, message, is_snapshot, notes, random)
        at, changed = write_message(out, at, bids, asks, stamp, wire)
        if not is_snapshot:
            credit[0] = min(credit[0] + changes - changed, 4 * changes)
        drop_cancelled(bids)
        drop_cancelled(asks)
        written += 1
    return at, written


@njit(cache=True)
def _touch(knots: NDArray[np.float64], elapsed: int, notes: Ints, random: Random) -> Any:
    """Best bid and ask in ticks around the path; the spread is one tick most of the time."""
    knot = min(elapsed // KNOT_MS, knots.size - 2)
    part = (elapsed - knot * KNOT_MS) / KNOT_MS
    mid = knots[knot] + min(part, 1.0) * (knots[knot + 1] - knots[knot])
    chance = uniform(random)
    if chance < 0.02:
        notes[_SPREAD] = 2 + int(-np.log(1.0 - uniform(random)) * 4)
    elif chance < 0.3:
        notes[_SPREAD] = 1
    bid = int(np.floor(mid - (notes[_SPREAD] - 1) / 2))
    return bid, bid + notes[_SPREAD]


@njit(cache=True)
def _spend(
    bids: Side, asks: Side, tilt: float, rules: Rules, message: int, credit: float, random: Random
) -> None:
    """Spend the changes that moves of the touch have left; the mean works out over time."""
    for _ in range(int(2 * uniform(random) * max(credit, 0.0) + 0.5)):
        if uniform(random) < 0.5:
            churn(bids, tilt, rules, message, random)
        else:
            churn(asks, -tilt, rules, message, random)


@njit(cache=True)
def _stamp(
    clock: Clock, elapsed: int, message: int, is_snapshot: bool, notes: Ints, random: Random
) -> Any:
    """System time lags the matching engine's by some ms; `seq` rises by any amount."""
    ts = clock.start_ms + elapsed + int(uniform(random) * clock.jitter_ms)
    matched = ts - 1 - int(uniform(random) * 12)
    notes[_SEQUENCE] += 1 + int(uniform(random) * 400)
    return Stamp(ts, matched, FIRST_UPDATE + message, notes[_SEQUENCE], message + 1, is_snapshot)
