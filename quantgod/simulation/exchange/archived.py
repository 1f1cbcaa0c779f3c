"""The simulated market of the settings, heard as Binance would tell of it.

Its messages are those that the archives of `steps.simulate` hold from the same first message on;
the snapshot that opens each later day becomes the difference that it makes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from quantgod.contracts import BookUpdate, Level
from quantgod.market import bybit
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book import OrderBook
from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.exchange.ids import UpdateIds
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from quantgod.simulation.exchange.wire import sides
from quantgod.simulation.market import SimulatedMarket

AT_ONCE = 32
"""Messages written ahead: few, so that no call holds the event loop for long."""


def simulated_truth(
    symbols: Sequence[str], settings: SimulateSettings, first_day: int | None = None
) -> Truth:
    """The simulated markets from the midnight of `first_day` (0 on; the last by default) on.

    The first symbol follows the path of `settings`, each other one a seed of its own. All end with
    the last simulated day.

    Raises:
        ValueError: where there is no such day, and as `write_archives` does.
    """
    day = settings.days - 1 if first_day is None else first_day
    if not 0 <= day < settings.days:
        raise ValueError(f"first_day: 0 to {settings.days - 1} expected, got {day}")
    seeds = itertools.count(settings.seed)
    return Truth(
        [
            SimulatedEvents(symbol, settings.model_copy(update={"seed": seed}), day)
            for symbol, seed in zip(symbols, seeds, strict=False)
        ]
    )


class SimulatedEvents:
    """One simulated symbol, from the midnight of `day` to the end of its path."""

    def __init__(self, symbol: str, settings: SimulateSettings, day: int) -> None:
        self.symbol = symbol
        self._market = SimulatedMarket(symbol, settings, price_path(settings), start_ms(settings))
        self._days = range(day, settings.days)
        self._first = bybit.decode(self._market.lines(day, 0, 1))
        self._ids = UpdateIds(self._first.update_id * 1000, settings.seed)

    def opening(self) -> DepthSnapshot:
        """The book of the first day's first message."""
        first = self._first
        return DepthSnapshot(self._ids.last, first.ts, first.bids, first.asks)

    def events(self) -> Iterator[TrueEvent]:
        """One event for each message after that."""
        before = OrderBook()
        before.apply(self._first)
        for line in self._lines():
            update = bybit.decode(line)
            if update.is_snapshot:
                yield self._event(*_difference(before, update), ts=update.ts, raw=None)
            else:
                yield self._event(update.bids, update.asks, ts=update.ts, raw=line)
            before.apply(update)

    def _lines(self) -> Iterator[bytes]:
        size = self._market.messages_a_day
        for day in self._days:
            for first in range(1 if day == self._days.start else 0, size, AT_ONCE):
                lines = self._market.lines(day, first, min(AT_ONCE, size - first))
                yield from lines.splitlines()

    def _event(
        self, bids: list[Level], asks: list[Level], *, ts: int, raw: bytes | None
    ) -> TrueEvent:
        first, final, previous = self._ids.span()
        change = DepthEvent(self.symbol, ts, first, final, previous, bids, asks)
        return TrueEvent(change, _raw_sides(raw) if raw else sides(bids, asks))


def _difference(before: OrderBook, after: BookUpdate) -> tuple[list[Level], list[Level]]:
    """What turns the book before into the one of a snapshot."""
    return _changed(before.bids, dict(after.bids)), _changed(before.asks, dict(after.asks))


def _changed(old: dict[float, float], new: dict[float, float]) -> list[Level]:
    gone = [(price, 0.0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]


class _Data(msgspec.Struct):
    b: msgspec.Raw
    a: msgspec.Raw


class _Line(msgspec.Struct):
    data: _Data


_decode_raw = msgspec.json.Decoder(_Line).decode


def _raw_sides(line: bytes) -> bytes:
    """The levels as they stand: both venues write them alike."""
    data = _decode_raw(line).data
    return b'"b":%b,"a":%b' % (bytes(data.b), bytes(data.a))
