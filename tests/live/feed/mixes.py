"""A feed on real sockets against an exchange that fails, watched by one who knows the truth.

`run_mix` is what the tests call some dozens of times in little time, and a soak for as long as it
likes at the pace of a real venue.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from quantgod.live.driving import RawKind
from quantgod.live.feed.feed import Feed
from quantgod.live.feed.notices import Notice
from quantgod.market.binance import DepthEvent
from quantgod.market.book import OrderBook
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.minute_bars import compile_kernel
from quantgod.market.sync_events import Change, OutOfSync, Sync
from quantgod.settings import FeedSettings, load_settings
from quantgod.simulation.exchange.faults import Fault, mix
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import Market, TrueEvent, Truth

CONFIG = Path(__file__).parents[3] / "conf" / "full.yaml"
PLAY_SECONDS = 300.0
FORBIDDEN = re.compile(r"no request for ([\d.]+) s")


@dataclass(frozen=True)
class Pace:
    """How fast a mix runs: the venue, the patience of the feed, and what its faults amount to."""

    speed: float = 3.0
    span: tuple[int, int] = (8, 60)
    count: int = 6
    settle_seconds: float = 60.0
    amounts: dict[str, float] = field(default_factory=dict)
    patience: dict[str, Any] = field(default_factory=dict)


REAL = Pace(speed=1.0, span=(50, 900), count=6, settle_seconds=90.0)
"""A real venue's pace and the shipped settings: for a soak."""

QUICK = Pace(
    amounts={"too_many_requests": 1.0, "banned": 1.0, "snapshot_slow": 1.2, "oversized": 300_000},
    patience={
        "backoff_seconds": 0.02,
        "retry_seconds": 0.01,
        "backoff_limit_seconds": 0.5,
        "healthy_seconds": 0.5,
        "silent_seconds": 1.0,
        "first_message_seconds": 1.2,
        "connect_seconds": 2.0,
        "snapshot_seconds": 0.8,
        "frame_bytes": 200_000,
        "weight_limit": 1_000_000,
        "depth_limit": 100,
        "depth_weight": 5,
    },
)
"""The same with everything some ten times as fast: seconds of a test instead of minutes."""


class MixResult(NamedTuple):
    """What became of a run.

    Attributes:
        seed: of the mix.
        injected: names of the faults that struck.
        wrong: each published book that was not the truth, and each broken chain, in words.
        losses: why books were withdrawn, each time.
        is_synced: whether every book stood in the end, at the venue's very last event.
        resyncs: seconds from each loss of a book to its return, less those for which the venue
            had forbidden to ask for a snapshot.
        early: requests made inside a `Retry-After`, as the venue counted.
        notices: all of them.
    """

    seed: int
    injected: list[str]
    wrong: list[str]
    losses: list[str]
    is_synced: bool
    resyncs: list[float]
    early: int
    notices: list[Notice]

    def codes(self) -> set[str]:
        """Names of what happened."""
        return {notice.code for notice in self.notices}


async def run_mix(
    seed: int,
    pace: Pace = QUICK,
    *,
    faults: Sequence[Fault] | None = None,
    symbols: Sequence[str] = ("BTCUSDT",),
) -> MixResult:
    """Live through the mix of `seed`, or through `faults`, and on until all has settled."""
    warm()
    chosen = mix(seed, pace.count, pace.span) if faults is None else list(faults)
    amounts = pace.amounts
    scaled = [replace(one, amount=amounts.get(one.name, one.amount)) for one in chosen]
    truth = RecordedTruth([market(symbol, seed + place) for place, symbol in enumerate(symbols)])
    async with Exchange(truth, faults=scaled, seed=seed, speed=pace.speed) as exchange:
        witness = Witness(exchange, truth)
        async with feeding(exchange, witness, pace.patience, seed) as feed:
            last = max((fault.after or 0 for fault in scaled), default=0)
            await witness.played(max(last, pace.span[0]) + 20)
            is_synced = await witness.settled(feed, pace.settle_seconds)
            return MixResult(
                seed,
                [injection.name for injection in exchange.injected],
                witness.wrong,
                list(witness.losses),  # without those of the feed's own end
                is_synced,
                witness.resyncs,
                exchange.weight.early,
                witness.notices,
            )


@cache
def warm() -> None:
    """Have the bars' kernel compiled before a venue's clock runs."""
    compile_kernel()


def market(symbol: str, seed: int) -> SyntheticMarket:
    """A small book with more levels than a snapshot shows, and a price that travels."""
    return SyntheticMarket(symbol, seed=seed, levels=300, changes=6)


async def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds within so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.005)
    return True


class RecordedTruth(Truth):
    """The truth, and every event of it: so that a client's book can be held against its own id."""

    def __init__(self, markets: Sequence[Market]) -> None:
        super().__init__(markets)
        self.log: dict[str, list[DepthEvent]] = {symbol: [] for symbol in self.symbols}
        self.openings = {symbol: _copy(self.book(symbol)) for symbol in self.symbols}

    def advance(self) -> TrueEvent:
        event = super().advance()
        self.log[event.change.symbol].append(event.change)
        return event


class Witness:
    """A listener that holds every published book against the truth at the id it claims."""

    def __init__(self, exchange: Exchange, truth: RecordedTruth) -> None:
        self.exchange, self.truth = exchange, truth
        self.books = {
            symbol: BookBars(BinanceBookSync(symbol, 10_000), 5, 5) for symbol in truth.symbols
        }
        self.recorded: dict[str, list[tuple[RawKind, bytes]]] = {one: [] for one in truth.symbols}
        self.outcomes: dict[str, list[Effect]] = {one: [] for one in truth.symbols}
        self.notices: list[Notice] = []
        self.wrong: list[str] = []
        self.resyncs: list[float] = []
        self.losses: list[str] = []
        self.applied: dict[str, list[int]] = {one: [] for one in truth.symbols}
        self._lost: dict[str, float] = {}
        self._forbidden: list[tuple[float, float]] = []
        self._shadows = {symbol: _Shadow(truth, symbol) for symbol in truth.symbols}

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        self.recorded[symbol].append((kind, data))

    def taken(self, symbol: str, taken: Effect, received: float) -> None:
        self.outcomes[symbol].append(taken)
        for event in taken.events:
            if isinstance(event, OutOfSync):
                self._lost.setdefault(symbol, time.monotonic())
                self.losses.append(event.reason)
            elif isinstance(event, Sync):
                if symbol in self._lost:
                    self.resyncs.append(self._since(self._lost.pop(symbol)))
            elif isinstance(event, Change):
                self.applied[symbol].append(event.update.update_id)
        self._compare(symbol)

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        if notice.code == "rate_limited":
            now, seconds = time.monotonic(), FORBIDDEN.search(notice.text)
            assert seconds is not None, notice
            self._forbidden.append((now, now + float(seconds[1])))

    def _since(self, lost: float) -> float:
        now = time.monotonic()
        waited = (min(now, end) - max(lost, begin) for begin, end in self._forbidden)
        return now - lost - sum(max(0.0, seconds) for seconds in waited)

    def _compare(self, symbol: str) -> None:
        sync = self.books[symbol].sync
        if sync.book is None or not isinstance(sync, BinanceBookSync) or sync.known_range is None:
            return
        shift = self.exchange.last_update_id(symbol) - self.truth.last_update_id(symbol)
        problem = self._shadows[symbol].compare(
            sync.book, sync.last_update_id, sync.known_range, shift
        )
        if problem:
            self.wrong.append(f"{symbol}: {problem}")

    async def played(self, events: int) -> None:
        """Until the venue has played so many events of each symbol."""
        logs = self.truth.log.values()
        assert await comes_true(lambda: all(len(log) >= events for log in logs), PLAY_SECONDS)

    async def settled(self, feed: Feed, seconds: float = 15.0) -> bool:
        """Whether every book comes to stand where the venue stands, within so many seconds."""
        behind = set(self.truth.symbols)

        def none_is_behind() -> bool:
            behind.difference_update({one for one in behind if self._is_up_to_date(one)})
            return not behind

        came = await comes_true(none_is_behind, seconds)
        return came and all(state.is_synced for state in feed.state.symbols.values())

    def _is_up_to_date(self, symbol: str) -> bool:
        ours = self.books[symbol].sync.last_update_id
        return ours >= 0 and ours == self.exchange.last_update_id(symbol)


class _Shadow:
    """The true book of a symbol as it was at any id that a client may claim."""

    def __init__(self, truth: RecordedTruth, symbol: str) -> None:
        self._truth, self._symbol = truth, symbol
        self._place: dict[int, int] = {}
        self._shifts: list[int] = []
        self._book, self._at = _copy(truth.openings[symbol]), 0

    def compare(
        self, book: OrderBook, last: int, known: tuple[float, float], shift: int
    ) -> str | None:
        """What is wrong with a client's book; `shift` is what ids are off by at present."""
        if shift not in self._shifts:
            self._shifts.insert(0, shift)
        place = self._find(last)
        if place is None:
            return f"no event of the venue ends with {last}"
        self._go_to(place)
        lowest, highest = known
        bids = {price: size for price, size in self._book.bids.items() if price >= lowest}
        asks = {price: size for price, size in self._book.asks.items() if price <= highest}
        if book.bids != bids or book.asks != asks:
            wrong = set(book.bids.items()) ^ set(bids.items())
            wrong |= set(book.asks.items()) ^ set(asks.items())
            return f"at {last}, {known}: {len(wrong)} levels differ, {sorted(wrong)[:3]}"
        if (book.best_bid, book.best_ask) != (self._book.best_bid, self._book.best_ask):
            return f"at {last}: best {book.best_bid}, {book.best_ask} are not the venue's"
        return None

    def _find(self, last: int) -> int | None:
        log = self._truth.log[self._symbol]
        for place in range(len(self._place), len(log)):
            self._place[log[place].final] = place
        found = (self._place.get(last - shift) for shift in self._shifts)
        return next((place for place in found if place is not None), None)

    def _go_to(self, place: int) -> None:
        if place < self._at - 1:
            self._book, self._at = _copy(self._truth.openings[self._symbol]), 0
        for change in self._truth.log[self._symbol][self._at : place + 1]:
            _change(self._book, change)
        self._at = place + 1


def _change(book: OrderBook, change: DepthEvent) -> None:
    for side, levels in ((book.bids, change.bids), (book.asks, change.asks)):
        for price, size in levels:
            if size:
                side[price] = size
            else:
                side.pop(price, None)
    book.best_bid, book.best_ask = max(book.bids), min(book.asks)


def _copy(book: OrderBook) -> OrderBook:
    other = OrderBook()
    other.replace(book.bids.items(), book.asks.items())
    return other


def feed_settings(exchange: Exchange, changes: dict[str, Any]) -> FeedSettings:
    """The shipped settings, pointed at the exchange, with changes."""
    shipped = load_settings(CONFIG).live.feed.model_dump()
    addresses = {"stream_url": exchange.stream_url, "depth_url": exchange.depth_url}
    return FeedSettings(**(shipped | addresses | changes))


@asynccontextmanager
async def feeding(
    exchange: Exchange, witness: Witness, changes: dict[str, Any], seed: int = 0
) -> AsyncIterator[Feed]:
    """Run a feed within a block; it is cancelled at the end, and what it raised is raised."""
    feed = Feed(feed_settings(exchange, changes), witness.books, witness, seed=seed)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()
