"""Simulate a seeded market that writes Bybit's order-book feed and keeps the true book.

The same seed gives the same bytes, however the messages are split into calls. Message i of a day
is at its midnight plus `i * cadence`, plus a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import numpy as np

from quantgod.contracts import MS_PER_DAY, Level
from quantgod.settings import SimulateSettings
from quantgod.simulation.feed_kernel import FIRST_SEQUENCE, KNOT_MS, write_messages
from quantgod.simulation.feed_parts import (
    COUNT,
    KEY,
    NOTES,
    SIZE,
    SIZE_DECIMALS,
    START,
    Clock,
    Rules,
    Side,
    Signs,
    Wire,
    empty_side,
    wire,
)
from quantgod.simulation.price_path import PricePath

CHUNK_BYTES: Final = 4 << 20
LEVEL_BYTES: Final = 8 * 48
"""Room of a line for each level of a side, with all that a jump of the price can change."""

LATEST_MS: Final = 50
"""Maximal delay of a message in its slot, or a twentieth of the cadence if that is less."""


class SimulatedMarket:
    """A market on a given path; messages must be requested in rising order, from a day's first.

    Args:
        symbol: As in topic and data.
        settings: Levels, cadence, seed, tick and changes per message are used.
        path: The mid's path from `start_ms`, in price units.
        start_ms: Midnight of the first day, epoch ms.

    Raises:
        ValueError: if the path is so low that bids would reach zero.
    """

    def __init__(
        self, symbol: str, settings: SimulateSettings, path: PricePath, start_ms: int
    ) -> None:
        self.symbol, self.levels = symbol, settings.levels
        self._tick = Decimal(str(settings.tick))
        # The venue writes at least two decimals (`16493.50`).
        self._decimals = max(2, -int(self._tick.normalize().as_tuple().exponent))
        self._units = int(self._tick.scaleb(self._decimals))
        self._knots = path.knots / settings.tick
        self._signs = Signs(path.lean, path.shape, path.flow)
        self.changes = float(settings.changes)
        jitter = min(max(settings.cadence_ms // 20, 1), LATEST_MS)
        self._clock = Clock(start_ms, settings.cadence_ms, jitter)
        self._rules = Rules(settings.levels, self._gap(), near_lots=1500.0, deep_lots=600.0)
        self._refuse_low_prices(path)
        self._random = np.array([settings.seed % 2**64], np.uint64)
        self._bids, self._asks = empty_side(settings.levels), empty_side(settings.levels)
        self._notes = np.array([1, FIRST_SEQUENCE], np.int64)
        self._credit = np.zeros(1)
        self._room = settings.levels * LEVEL_BYTES
        self._out = np.empty(CHUNK_BYTES + self._room, np.uint8)

    @property
    def messages_a_day(self) -> int:
        """Return the number of messages from midnight to midnight."""
        return -(-MS_PER_DAY // self._clock.cadence_ms)

    def day(self, day: int) -> Iterator[bytes]:
        """Yield the lines of one day, in chunks of whole lines; the first line is a snapshot.

        Days and their `u` are continuous: message 0 of day 1 follows the last one of day 0.
        """
        first = day * self.messages_a_day
        yield self.lines(day, 0, 1)
        done = 1
        while done < self.messages_a_day:
            chunk, count = self._write(first + done, self.messages_a_day - done, day)
            yield chunk
            done += count

    def lines(self, day: int, first: int, count: int) -> bytes:
        """Return `count` whole lines of a day from message `first`; message 0 is a snapshot."""
        begin, parts, done = day * self.messages_a_day + first, [], 0
        while done < count:
            chunk, written = self._write(begin + done, count - done, day)
            parts.append(chunk)
            done += written
        return b"".join(parts)

    def book(self) -> tuple[list[Level], list[Level]]:
        """Return the true book after the last message: bids and asks, (price, size), best first."""
        return self._side(self._bids, -1), self._side(self._asks, 1)

    def _side(self, side: Side, sign: int) -> list[Level]:
        begin = side[NOTES, START]
        levels = slice(begin, begin + side[NOTES, COUNT])
        prices = sign * side[KEY, levels] * self._units / 10**self._decimals
        sizes = side[SIZE, levels] / 10**SIZE_DECIMALS
        return list(zip(prices.tolist(), sizes.tolist(), strict=True))

    def _write(self, first: int, count: int, day: int) -> tuple[bytes, int]:
        parts = self._wire(type_first=day % 2 == 0)
        end, written = write_messages(
            self._out,
            self._room,
            (first, count, day * self.messages_a_day, day * MS_PER_DAY),
            (self._bids, self._asks, self._rules),
            (self._knots, self._signs, self._clock, self.changes),
            (self._notes, self._credit, self._random),
            parts,
        )
        return self._out[:end].tobytes(), written

    def _wire(self, *, type_first: bool) -> Wire:
        return wire(
            self.symbol,
            self.levels,
            type_first=type_first,
            units=self._units,
            price_decimals=self._decimals,
        )

    def _gap(self) -> int:
        """Return the mean ticks between levels, so that moves of the touch use half the changes."""
        travelled = float(np.abs(np.diff(self._knots)).mean()) * self._clock.cadence_ms / KNOT_MS
        return max(2, round(8 * travelled / self.changes))

    def _refuse_low_prices(self, path: PricePath) -> None:
        lowest, deepest = float(self._knots.min()), 3 * self._rules.gap * self._rules.depth
        if lowest <= deepest:
            raise ValueError(
                f"the price falls to {path.knots.min():g}, which is {lowest:.0f} ticks of "
                f"{self._tick}: {self.levels} levels need more than {deepest}; "
                "use a smaller simulate.tick or more simulate.changes"
            )
