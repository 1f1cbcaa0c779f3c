"""A backtest in plain Python: one heap of events, exact fractions, nothing shared with the engine.

Slow and readable: what the compiled loop is compared with.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from quantgod.settings import BacktestSettings

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
FUNDING, ARRIVAL, CLOSE, JUDGEMENT = range(4)

Side = list[tuple[Fraction, Fraction]]


@dataclass
class Position:
    """What one signal has opened."""

    side: int
    signal_ms: int
    state: str = "ordered"  # then held, leaving, gone; or void
    quantity: Fraction = Fraction(0)
    paid: Fraction = Fraction(0)
    got: Fraction = Fraction(0)
    entry_ms: int = 0
    exit_ms: int = 0
    entry_mid: Fraction = Fraction(0)
    exit_mid: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)
    reason: str = ""
    is_told_to_leave: bool = False

    @property
    def net(self) -> Fraction:
        return self.side * (self.got - self.paid) - self.fees - self.funding


@dataclass
class Oracle:
    """Books by time as ({bids}, {asks}) lists; signals by time; see `run`."""

    books: dict[int, tuple[Side, Side]]
    signals: dict[int, int]
    settings: BacktestSettings
    horizon_ms: int
    latency_ms: int
    recorded: dict[int, tuple[Side, Side]] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    equity: list[Fraction] = field(default_factory=list)
    balances: list[Fraction] = field(default_factory=list)
    held: list[Fraction] = field(default_factory=list)
    outcome: str = "open"
    ignored: int = 0
    lapsed: int = 0
    partial: int = 0
    thin: int = 0

    def run(self) -> Oracle:
        """Go through the events in order of time, and of kind within a moment."""
        self.times = sorted(self.books)
        self.sequence = 0
        self.heap: list[tuple[int, int, int, tuple[object, ...]]] = []
        self.start = Fraction(self.settings.account.initial_balance)
        self.balance = self.day_start = self.start
        self.day = (self.times[0] - 1) // DAY_MS
        self.days: set[int] = set()
        # What is left of a book at the one moment it is taken from.
        self.left: dict[int, tuple[Side, Side]] = {}
        for time in self.times:
            self.push(time, CLOSE)
            self.push(time, JUDGEMENT)
        period = self.settings.funding_hours * HOUR_MS
        first = -(-self.times[0] // period) * period
        for stamp in range(first, self.times[-1] + 1, period):
            self.push(stamp, FUNDING)
        while self.heap:
            time, kind, _, what = heapq.heappop(self.heap)
            if kind == JUDGEMENT or self.outcome in ("open", "target"):
                (self.fund, self.arrive, self.close, self.judge)[kind](time, *what)
        return self

    def push(self, time: int, kind: int, *what: object) -> None:
        self.sequence += 1
        heapq.heappush(self.heap, (time, kind, self.sequence, what))

    def mid(self, time: int) -> Fraction:
        bids, asks = self.books[time]
        return (bids[0][0] + asks[0][0]) / 2

    def open(self) -> list[Position]:
        return [one for one in self.positions if one.state == "held"]

    def worth(self, time: int) -> Fraction:
        return self.balance + sum(
            one.side * (one.quantity * self.mid(time) - one.paid) for one in self.open()
        )

    def fund(self, time: int) -> None:
        known = max(close for close in self.times if close <= time)
        for one in self.open():
            paid = Fraction(self.settings.funding_rate) * one.side * one.quantity * self.mid(known)
            one.funding += paid
            self.balance -= paid

    def close(self, time: int) -> None:
        self.turn_the_day(time)
        if self.breach(time) is not None:
            return
        index = self.times.index(time)
        is_last = index + 1 == len(self.times)
        signal = self.signals.get(time, 0)
        if is_last:
            self.lapsed += signal != 0
            self.close_all(time, "end")
            return
        staying = [one for one in self.positions if self.is_staying(one)]
        for one in staying:
            if time >= one.signal_ms + self.horizon_ms:
                self.tell_to_leave(one, time, "horizon")
            elif signal == -one.side:
                self.tell_to_leave(one, time, "opposite")
        if signal:
            self.open_new(signal, time)

    def is_staying(self, one: Position) -> bool:
        return one.state in ("ordered", "held") and not one.is_told_to_leave

    def tell_to_leave(self, one: Position, time: int, reason: str) -> None:
        one.is_told_to_leave, one.reason = True, reason
        arrival = self.arrival(time)
        if arrival is not None:
            self.push(arrival, ARRIVAL, "exit", one)

    def open_new(self, side: int, time: int) -> None:
        count = sum(self.is_staying(one) for one in self.positions)
        arrival = self.arrival(time)
        if (count + 1) * self.settings.notional > self.settings.max_position:
            self.ignored += 1
        elif arrival is None or arrival - time > self.horizon_ms:
            self.lapsed += 1
        else:
            one = Position(side, time)
            self.positions.append(one)
            self.push(arrival, ARRIVAL, "entry", one)

    def arrival(self, time: int) -> int | None:
        moment = time + self.latency_ms
        known = sorted({*self.times, *(self.recorded if self.latency_ms % 60_000 else ())})
        return next((time for time in known if time >= moment), None)

    def arrive(self, time: int, what: str, one: Position) -> None:
        if what == "entry" and one.state == "ordered":
            self.enter(one, time)
        elif what == "exit" and one.state == "held":
            self.leave(one, time)

    def book_at(self, time: int) -> tuple[Side, Side]:
        if time not in self.left:
            source = self.books.get(time) or self.recorded[time]
            self.left[time] = (list(source[0]), list(source[1]))
        return self.left[time]

    def enter(self, one: Position, time: int) -> None:
        bids, asks = self.books.get(time) or self.recorded[time]
        best = (asks if one.side > 0 else bids)[0][0]
        wanted = Fraction(self.settings.notional) / best
        one.quantity, one.paid = take(self.book_at(time)[one.side > 0], wanted)
        self.partial += one.quantity < wanted
        one.state, one.entry_ms, one.entry_mid = "held", time, (bids[0][0] + asks[0][0]) / 2
        self.charge(one, one.paid)
        self.days.add((time - 1) // DAY_MS)

    def leave(self, one: Position, time: int) -> None:
        bids, asks = self.books.get(time) or self.recorded[time]
        had, one.got = take(self.book_at(time)[one.side < 0], one.quantity)
        if had < one.quantity:
            self.thin += 1
            one.got += (one.quantity - had) * (asks if one.side < 0 else bids)[-1][0]
        one.state, one.exit_ms, one.exit_mid = "gone", time, (bids[0][0] + asks[0][0]) / 2
        self.balance += one.side * (one.got - one.paid)
        self.charge(one, one.got)

    def charge(self, one: Position, value: Fraction) -> None:
        fee = Fraction(self.settings.taker_fee) * value
        one.fees += fee
        self.balance -= fee

    def close_all(self, time: int, reason: str) -> None:
        for one in self.positions:
            if one.state == "ordered":
                one.state = "void"
                self.lapsed += 1
            elif one.state == "held":
                one.reason = reason
                self.leave(one, time)

    def turn_the_day(self, time: int) -> None:
        if (time - 1) // DAY_MS != self.day:
            self.day = (time - 1) // DAY_MS
            self.day_start = max(self.balances[-1], self.equity[-1])

    def breach(self, time: int) -> str | None:
        account, worth = self.settings.account, self.worth(time)
        if self.start - worth > Fraction(account.max_total_loss) * self.start:
            return "total_loss"
        if self.day_start - worth > Fraction(account.max_daily_loss) * self.start:
            return "daily_loss"
        return None

    def judge(self, time: int) -> None:
        if self.outcome in ("open", "target"):
            breach, account = self.breach(time), self.settings.account
            goal = self.start * (1 + Fraction(account.profit_target))
            if breach is not None:
                self.close_all(time, breach)
                self.outcome = breach
            elif len(self.days) >= account.min_trading_days and self.balance >= goal <= self.worth(
                time
            ):
                self.outcome = "target"
        self.balances.append(self.balance)
        self.equity.append(self.worth(time))
        self.held.append(sum((one.side * one.quantity for one in self.open()), Fraction(0)))


def take(side: Side, wanted: Fraction) -> tuple[Fraction, Fraction]:
    """Take from a side's levels, best first, and leave the rest; gives quantity and value."""
    had = value = Fraction(0)
    while side and had < wanted:
        price, size = side.pop(0)
        part = min(size, wanted - had)
        had, value = had + part, value + part * price
        if part < size:
            side.insert(0, (price, size - part))
    return had, value


def book_of(levels: np.ndarray) -> tuple[Side, Side]:
    """One book of `Books.levels` as lists of what is there."""
    bids, asks = (
        [(Fraction(price), Fraction(size)) for price, size in side.tolist() if size > 0]
        for side in levels
    )
    return bids, asks
