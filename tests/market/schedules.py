"""Seeded schedules of faults between a true market and a book's synchronisation.

`run_schedule` lets a venue, a stream and its snapshots go wrong by seed, and has the machine's book
held against the truth after every message. Then the faults end, and the book must come back. No
clock, no socket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from msgspec.structs import replace

from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.messages import MessageError
from tests.market.true_market import SHOWN, SYMBOL, Dice, TrueMarket
from tests.market.witness import Delivery, Witness, WrongBook

FAULTY_TICKS = 170
CALM_TICKS = 25
PATIENCE = 150
"""Calm messages within which a book must have come back."""

STREAM_FAULTS = {
    "lost": 0.03,
    "doubled": 0.05,
    "delayed": 0.03,
    "shuffled": 0.3,
    "stalled": 0.02,
    "corrupt": 0.015,
    "wrong_symbol": 0.01,
    "crossed": 0.015,
    "absurd_time": 0.01,
}
VENUE_FAULTS = {"reset": 0.008, "clock": 0.02, "disconnect": 0.015, "unasked": 0.02, "echo": 0.006}
ANSWER_FAULTS = {
    "failed": 0.3,
    "stale": 0.3,
    "slow": 0.2,
    "truncated": 0.3,
    "thin": 0.2,
    "one_sided": 0.1,
    "crossed_snapshot": 0.1,
}
CLOCK_STEPS = (-3_600_000, -2_000, 2_000, 3_600_000)

Maker = Callable[[str, int], BinanceBookSync]


class ScheduleResult(NamedTuple):
    """What came of a schedule.

    Attributes:
        outcomes: events of the machine by kind and reason, as `OutOfSync:gap`.
        checked: published books that were compared with the truth.
        syncs: times the book came to stand.
        recovery: calm messages until the book stood again.
    """

    seed: int
    outcomes: Counter[str]
    checked: int
    syncs: int
    recovery: int


def run_schedule(seed: int, make: Maker = BinanceBookSync) -> ScheduleResult:
    """Run one schedule to its end.

    Raises:
        WrongBook: naming the seed, the tick and what was wrong.
    """
    schedule = Schedule(seed, make)
    try:
        return schedule.run()
    except WrongBook as wrong:
        raise WrongBook(f"seed {seed}, tick {schedule.tick}: {wrong}") from None


class Schedule:
    def __init__(self, seed: int, make: Maker) -> None:
        self.rng = rng = Dice(seed)
        self.seed = seed
        self.market = TrueMarket(rng)
        self.witness = Witness(self.market, make(SYMBOL, rng.one_of([8, 20, 60])))
        # A few kinds at a time: alone they go deeper than all together.
        kinds = [*STREAM_FAULTS, *VENUE_FAULTS, *ANSWER_FAULTS]
        self.kinds = set(rng.sample(kinds, rng.number(0, 6)))
        self.tick = 0
        self.due: dict[int, list[Delivery]] = {}
        self.stalled_until = 0
        self.connects_at: int | None = 0
        self.asked_at = 0
        self.answers_at: int | None = None

    def run(self) -> ScheduleResult:
        for _ in range(FAULTY_TICKS):
            self.advance()
        self.kinds.clear()
        end = self.tick
        while self.witness.sync.book is None:
            if self.tick - end > PATIENCE:
                raise WrongBook(f"no book {PATIENCE} messages after the last fault")
            self.advance()
        recovery = self.tick - end
        for _ in range(CALM_TICKS):
            self.advance()
        witness = self.witness
        syncs = witness.outcomes["Sync"]
        return ScheduleResult(self.seed, witness.outcomes, witness.checked, syncs, recovery)

    def advance(self) -> None:
        """A tenth of a second: the venue makes an event, what is due arrives, REST is asked."""
        self.tick += 1
        if self.connects_at is not None and self.tick >= self.connects_at:
            self.connects_at = None
            self.witness.connected()
        if self.happens("clock", VENUE_FAULTS):
            self.market.clock += self.rng.one_of(CLOCK_STEPS)
        if self.happens("reset", VENUE_FAULTS):
            self.market.reset()
        event = self.market.step()
        if self.connects_at is None:
            self.send(event)
            if self.happens("disconnect", VENUE_FAULTS):
                self.disconnect()
        deliveries = self.due.pop(self.tick, [])
        if self.happens("shuffled", STREAM_FAULTS):
            self.rng.shuffle(deliveries)
        for delivery in deliveries:
            self.witness.deliver(delivery)
        self.answer()
        if self.happens("unasked", VENUE_FAULTS) and not self.witness.sync.needs_snapshot:
            self.witness.answer(self.market.snapshot(self.rng.number(0, 5)))

    def happens(self, kind: str, rates: dict[str, float]) -> bool:
        return kind in self.kinds and self.rng.random() < rates[kind]

    def send(self, event: DepthEvent) -> None:
        rng, due = self.rng, self.due
        if self.happens("stalled", STREAM_FAULTS):
            self.stalled_until = self.tick + rng.number(2, 25)
        at = max(self.tick, self.stalled_until)
        if self.happens("lost", STREAM_FAULTS):
            return
        if self.happens("delayed", STREAM_FAULTS):
            at += rng.number(1, 6)
        due.setdefault(at, []).append(self.spoiled(event))
        if self.happens("doubled", STREAM_FAULTS):
            due.setdefault(at + rng.number(0, 4), []).append(event)
        if self.happens("echo", VENUE_FAULTS):  # a long tail of what was already seen
            old = [moment.event for moment in self.market.moments[1:-1]]
            due.setdefault(at, []).extend(old[-70:])

    def spoiled(self, event: DepthEvent) -> Delivery:
        if self.happens("corrupt", STREAM_FAULTS):
            return MessageError("bad_number", "a level that is no number")
        if self.happens("wrong_symbol", STREAM_FAULTS):
            return replace(event, symbol="ETHUSDT")
        if self.happens("absurd_time", STREAM_FAULTS):
            return replace(event, ts=event.ts + self.rng.one_of([-1, 1]) * 10**10)
        if self.happens("crossed", STREAM_FAULTS):
            asks = self.market.book["a"]
            return replace(event, bids=[*event.bids, (min(asks) + 2, 1.0)])
        return event

    def disconnect(self) -> None:
        self.due.clear()
        self.stalled_until = 0
        self.witness.disconnected()
        self.connects_at = self.tick + self.rng.number(1, 15)

    def answer(self) -> None:
        """Ask REST while the machine wants a snapshot; an answer takes some ticks."""
        rng = self.rng
        if self.answers_at is None:
            if self.witness.sync.needs_snapshot:
                slow = self.happens("slow", ANSWER_FAULTS)
                self.answers_at = self.tick + (rng.number(15, 70) if slow else rng.number(0, 5))
                self.asked_at = self.tick
            return
        if self.tick < self.answers_at:
            return
        age = rng.number(0, self.tick - self.asked_at)
        self.answers_at = None
        if self.happens("failed", ANSWER_FAULTS):
            return
        if self.happens("stale", ANSWER_FAULTS):
            age += rng.number(5, 80)
        self.witness.answer(self.snapshot(age))

    def snapshot(self, age: int) -> DepthSnapshot:
        shown = SHOWN
        if self.happens("truncated", ANSWER_FAULTS):
            shown = self.rng.number(5, 12)
        if self.happens("thin", ANSWER_FAULTS):
            shown = self.rng.number(0, 4)
        snapshot = self.market.snapshot(age, shown)
        if self.happens("one_sided", ANSWER_FAULTS):
            snapshot = snapshot._replace(asks=[])
        if self.happens("crossed_snapshot", ANSWER_FAULTS) and snapshot.asks:
            snapshot = snapshot._replace(bids=[(snapshot.asks[0][0], 1.0), *snapshot.bids])
        return snapshot
