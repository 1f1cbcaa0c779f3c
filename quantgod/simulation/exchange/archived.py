"""Play the simulated market of the settings as Binance events.

Its messages are those of the archives of `steps.simulate` from the same first message; the snapshot
that opens each later day becomes the difference to the book before.
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
"""Messages written ahead: few, so that no call blocks the event loop for long."""


def simulated_truth(
    symbols: Sequence[str], settings: SimulateSettings, first_day: int | None = None
) -> Truth:
    """Return the simulated markets from midnight of `first_day` (from 0; default is the last day).

    The first symbol follows the path of `settings`, the others have their own seeds. All end with
    the last simulated day.

    Raises:
        ValueError: if there is no such day, and as `write_archives` raises it.
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
    """One simulated symbol, from midnight of `day` to the end of its path."""

    def __init__(self, symbol: str, settings: SimulateSettings, day: int) -> None:
        self.symbol = symbol
        self._market = SimulatedMarket(symbol, settings, price_path(settings), start_ms(settings))
        self._days = range(day, settings.days)
        self._first = bybit.decode(self._market.lines(day, 0, 1))
        self._ids = UpdateIds(self._first.update_id * 1000, settings.seed)

    def opening(self) -> DepthSnapshot:
        """Return the book of the first day's first message."""
        first = self._first
        return DepthSnapshot(self._ids.last, first.ts, first.bids, first.asks)

    def events(self) -> Iterator[TrueEvent]:
        """Yield one event for each later message."""
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
    """Return the changes from the book before to that of a snapshot."""
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
    """Return the unparsed levels: both venues write them alike."""
    data = _decode_raw(line).data
    return b'"b":%b,"a":%b' % (bytes(data.b), bytes(data.a))
