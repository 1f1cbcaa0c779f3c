"""The one who compares: what a machine says and shows, against what was sent and what is true."""

from __future__ import annotations

from collections import Counter

from quantgod.contracts import MS_PER_DAY
from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import Change, Drop, Event, Extension, OutOfSync, Sync
from tests.market.true_market import SYMBOL, TrueMarket

Delivery = DepthEvent | MessageError


class WrongBook(AssertionError):
    """The machine said or showed what is not so."""


class Witness:
    """Stands between the schedule and the machine, and believes nothing that it says."""

    def __init__(self, market: TrueMarket, sync: BinanceBookSync) -> None:
        self.market = market
        self.sync = sync
        self.outcomes: Counter[str] = Counter()
        self.checked = 0
        self.arrived: dict[int, DepthEvent] = {}  # events of this connection, by final id
        self.snapshot: DepthSnapshot | None = None
        self.told: dict[str, dict[float, float]] = {"b": {}, "a": {}}  # what updates add up to
        self.looks: list[tuple[int, int]] = []
        sync.before_change = self._look

    def _look(self, ts: int) -> None:
        self.looks.append((ts, self.sync.last_update_id))

    def connected(self) -> None:
        self.arrived.clear()
        self._check(self.sync.connected(), -1)

    def disconnected(self) -> None:
        self._check(self.sync.disconnected(), -1)
        if self.sync.book is not None:
            raise WrongBook("a book stands without a stream")

    def answer(self, snapshot: DepthSnapshot) -> None:
        before = self.sync.last_update_id
        if self.sync.needs_snapshot:
            self.snapshot = snapshot
        self._check(self.sync.receive_snapshot(snapshot), before)

    def deliver(self, message: Delivery) -> None:
        before = self.sync.last_update_id
        if isinstance(message, MessageError):
            self._check(self.sync.refuse(message), before)
            if self.sync.book is not None:
                raise WrongBook("a book stands after a message that could not be read")
            return
        self.arrived[message.final] = message
        self.looks.clear()
        events = self.sync.receive(message)
        if not events:
            raise WrongBook(f"{message} had no outcome")
        self._check(events, before)
        self._check_strange(message)
        self._check_applied(events, message, before)
        self._check_looks(events, message, before)

    def _check(self, events: list[Event], before: int) -> None:
        for event in events:
            reason = getattr(event, "reason", "")
            name = type(event).__name__
            self.outcomes[f"{name}:{reason}" if reason else name] += 1
            self._follow(event)
        book, last_id = self.sync.book, self.sync.last_update_id
        if book is None:
            if last_id != -1 or any(self.told.values()):
                raise WrongBook(f"no book, but a last id of {last_id}")
            return
        self._compare(book.bids, book.asks, last_id)
        if any(isinstance(event, Sync) for event in events):
            self._check_chain(last_id)

    def _follow(self, event: Event) -> None:
        if isinstance(event, OutOfSync | Sync):
            self.told["b"].clear()
            self.told["a"].clear()
        if isinstance(event, Change | Sync | Extension):
            for side, levels in (("b", event.update.bids), ("a", event.update.asks)):
                told = self.told[side]
                for price, size in levels:
                    told[price] = size
                    if not size:
                        del told[price]

    def _compare(self, bids: dict[float, float], asks: dict[float, float], last_id: int) -> None:
        moment = self.market.by_id.get(last_id)
        known = self.sync.known_range
        if moment is None or known is None:
            raise WrongBook(f"a book at {last_id}, which no event ended with, and range {known}")
        self.checked += 1
        true_bids = {p: s for p, s in moment.book["b"].items() if p >= known[0]}
        true_asks = {p: s for p, s in moment.book["a"].items() if p <= known[1]}
        if bids != true_bids or asks != true_asks:
            raise WrongBook(f"at {last_id} the book differs from the truth within {known}")
        if min(len(bids), len(asks)) < 5 or max(bids) >= min(asks):
            raise WrongBook(f"a crossed or thin book at {last_id}")
        if self.told != {"b": bids, "a": asks}:
            raise WrongBook(f"at {last_id} the book is not what its updates add up to")

    def _check_chain(self, last_id: int) -> None:
        """Whether events without a break lead from the snapshot to the book."""
        if self.snapshot is None:
            raise WrongBook("a book without a snapshot")
        at, final = self.snapshot.last_update_id, last_id
        while (event := self.arrived.get(final)) is not None:
            if event.previous <= at:
                break
            final = event.previous
        if event is None or not event.previous <= at <= event.final:
            raise WrongBook(f"synced at {last_id} from a snapshot at {at} over a gap")

    def _check_strange(self, message: DepthEvent) -> None:
        is_strange = message.symbol != SYMBOL or abs(message.ts - self.market.clock) > MS_PER_DAY
        if is_strange and self.sync.book is not None:
            raise WrongBook(f"a book stands after an event of {message.symbol} at {message.ts}")

    def _check_applied(self, events: list[Event], message: DepthEvent, before: int) -> None:
        if any(isinstance(event, Change) for event in events) and message.previous != before:
            raise WrongBook(f"applied pu {message.previous} to a book at {before}")
        if before == message.previous:
            return
        if self.sync.book is not None and before != -1 and message.final > before:
            raise WrongBook(f"a book at {before} outlived pu {message.previous}")

    def _check_looks(self, events: list[Event], message: DepthEvent, before: int) -> None:
        first = events[0]
        silent = isinstance(first, Drop | OutOfSync) and first.reason in (
            "late",
            "duplicate",
            "wrong_symbol",
            "bad_time",
        )
        if self.looks != ([] if silent else [(message.ts, before)]):
            raise WrongBook(f"{first} was looked at {self.looks}, from {before}")
