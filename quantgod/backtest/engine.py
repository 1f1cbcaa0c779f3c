"""Run the compiled loop of a backtest: minutes in, filled units and the account's course out.

The package's docstring states the rules. One signal opens one unit. Units are ordered, entered,
told to leave, and left, always in the order of their signals, so four counters describe their
states: `LEFT <= LEAVING <= ORDERED` and `LEFT <= ENTERED <= ORDERED`.

All compiled code is in this file, because numba's cache checks no other file.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from quantgod.archive.compiled import compiled, kept
from quantgod.backtest.books import ASK, BID, PRICE, SIZE, Books
from quantgod.contracts import MS_PER_DAY, Floats, Integers

Signals = npt.NDArray[np.int8]

# Places in a unit's integers: books and rows by their numbers, moments in epoch ms.
SIDE, SIGNAL_ROW, ENTRY_BOOK, ENTRY_MS, EXIT_ROW, EXIT_BOOK, EXIT_MS, REASON = range(8)
UNIT_INTEGERS: Final = 8

# Places in a unit's floats.
QUANTITY, ENTRY_PRICE, ENTRY_MID, EXIT_PRICE, EXIT_MID, FEES, FUNDING = range(7)
UNIT_FLOATS: Final = 7

# Places in the counters. The last two pairs, of bids and of asks: when a book was last taken from,
# and up to which of its levels.
ORDERED, ENTERED, LEAVING, LEFT = range(4)
STAMP, OUTCOME, TARGET_ROW, END_ROW, TRADING_DAYS, TRADED_DAY = range(4, 10)
IGNORED, LAPSED, PARTIAL, THIN = range(10, 14)
TAKEN_MS, TAKEN_LEVEL = 14, 16
COUNTERS: Final = 18

# Places in the money: of the account, of all that is open, and sizes already taken of a level.
BALANCE, POSITION, COST, DAY_START, TAKEN = range(5)
MONEY: Final = 6

# Places in the course: what is realised, that and what is open at mid, signed quantity held.
SETTLED, EQUITY, HELD = range(3)
COURSE: Final = 3

# Outcomes of an account, and why a unit left.
OPEN, TARGET, DAILY_LOSS, TOTAL_LOSS = range(4)
HORIZON, OPPOSITE, END, DAILY_BREACH, TOTAL_BREACH = range(5)

NEVER: Final = np.iinfo(np.int64).max


class Rules(NamedTuple):
    """Constants of the loop; money in the quote currency, times in ms."""

    horizon_ms: int
    notional: float
    max_position: float
    taker_fee: float
    funding_rate: float
    funding_ms: int
    initial_balance: float
    daily_loss: float
    total_loss: float
    profit_target: float
    min_trading_days: int


class Desk(NamedTuple):
    """All data that the loop works on.

    Attributes:
        minutes: one book per minute, for valuing positions and for emergency closes.
        signal: (n,) -1, 0 or 1 for each minute.
        met: (n,) position in `venue` of the book that an order decided at each close meets; beyond
            the last one: none.
        venue: the books that orders meet.
        rules: of trading and of the account.
        integers: (units, UNIT_INTEGERS).
        floats: (units, UNIT_FLOATS).
        counters: (COUNTERS,).
        money: (MONEY,).
        course: (n, COURSE) after each minute.
    """

    minutes: Books
    signal: Signals
    met: Integers
    venue: Books
    rules: Rules
    integers: Integers
    floats: Floats
    counters: Integers
    money: Floats
    course: Floats


def new_desk(minutes: Books, signal: Signals, met: Integers, venue: Books, rules: Rules) -> Desk:
    """Return a desk before its first minute."""
    units = int(np.count_nonzero(signal))
    counters = np.zeros(COUNTERS, np.int64)
    counters[[TARGET_ROW, END_ROW, TRADED_DAY]] = -1
    # Nothing is held before the first close, so a funding time there costs nothing.
    counters[STAMP] = -(-int(minutes.time_ms[0]) // rules.funding_ms) * rules.funding_ms
    money = np.zeros(MONEY)
    money[[BALANCE, DAY_START]] = rules.initial_balance
    integers, floats = np.zeros((units, UNIT_INTEGERS), np.int64), np.zeros((units, UNIT_FLOATS))
    course = np.empty((len(signal), COURSE))
    return Desk(minutes, signal, met, venue, rules, integers, floats, counters, money, course)


@kept
def play(desk: Desk) -> None:
    """Run through the minutes; the results are in the desk's arrays."""
    for row in range(len(desk.signal)):
        if desk.counters[OUTCOME] < DAILY_LOSS:
            _go_through(desk, row, desk.minutes.time_ms[row])
        _record(desk, row)


@compiled
def _go_through(desk: Desk, row: int, now: int) -> None:
    _start_day(desk, row)
    _settle(desk, row, now)
    if _verdict(desk, row) == OPEN:
        if row + 1 == len(desk.signal):
            desk.counters[LAPSED] += desk.signal[row] != 0
            _close_all(desk, row, END)
        else:
            _decide(desk, row, now)
            _settle(desk, row, now)
    _judge(desk, row)


@compiled
def _start_day(desk: Desk, row: int) -> None:
    """Set a day's starting value: the higher of balance and equity in the minute before it."""
    if row == 0:
        return
    times = desk.minutes.time_ms
    if (times[row] - 1) // MS_PER_DAY != (times[row - 1] - 1) // MS_PER_DAY:
        desk.money[DAY_START] = max(desk.course[row - 1, SETTLED], desk.course[row - 1, EQUITY])


@compiled
def _settle(desk: Desk, row: int, now: int) -> None:
    """Apply all that is due: funding, and orders in the order of their decision."""
    while True:
        order = min(_next_entry_ms(desk), _next_exit_ms(desk))
        stamp = desk.counters[STAMP]
        if stamp <= min(order, now):
            _fund(desk, row, stamp)
        elif order <= now:
            _fill_next(desk)
        else:
            return


@compiled
def _next_entry_ms(desk: Desk) -> int:
    unit = desk.counters[ENTERED]
    if unit == desk.counters[ORDERED]:
        return NEVER
    return int(desk.venue.time_ms[desk.integers[unit, ENTRY_BOOK]])


@compiled
def _next_exit_ms(desk: Desk) -> int:
    unit = desk.counters[LEFT]
    if unit == desk.counters[LEAVING]:
        return NEVER
    book = desk.integers[unit, EXIT_BOOK]
    return int(desk.venue.time_ms[book]) if book < len(desk.venue.time_ms) else NEVER


@compiled
def _fund(desk: Desk, row: int, stamp: int) -> None:
    """Pay or receive funding at time `stamp`, at the newest minute's mid."""
    known = row if desk.minutes.time_ms[row] == stamp else row - 1
    for unit in range(desk.counters[LEFT], desk.counters[ENTERED]):
        held = desk.integers[unit, SIDE] * desk.floats[unit, QUANTITY]
        paid = desk.rules.funding_rate * held * _mid(desk.minutes, known)
        desk.floats[unit, FUNDING] += paid
        desk.money[BALANCE] -= paid
    desk.counters[STAMP] += desk.rules.funding_ms


@compiled
def _fill_next(desk: Desk) -> None:
    """Fill the order that was decided first; among orders of one minute, exits come first."""
    entering, leaving = desk.counters[ENTERED], desk.counters[LEFT]
    if leaving < desk.counters[LEAVING] and (
        entering == desk.counters[ORDERED]
        or desk.integers[leaving, EXIT_ROW] <= desk.integers[entering, SIGNAL_ROW]
    ):
        book = desk.integers[leaving, EXIT_BOOK]
        _exit(desk, leaving, desk.venue, book)
    else:
        _enter(desk, entering)


@compiled
def _enter(desk: Desk, unit: int) -> None:
    book, side = desk.integers[unit, ENTRY_BOOK], desk.integers[unit, SIDE]
    venue = desk.venue
    best = venue.levels[book, _met_side(side), 0, PRICE]
    wanted = desk.rules.notional / best
    value, missing = _walk(desk, venue, book, side, wanted)
    quantity = wanted - missing if missing > 0 else wanted
    desk.counters[PARTIAL] += missing > 0
    price = value / quantity if quantity > 0 else best
    fee = desk.rules.taker_fee * value
    desk.integers[unit, ENTRY_MS] = venue.time_ms[book]
    desk.floats[unit, QUANTITY] = quantity
    desk.floats[unit, ENTRY_PRICE] = price
    desk.floats[unit, ENTRY_MID] = _mid(venue, book)
    desk.floats[unit, FEES] = fee
    desk.money[BALANCE] -= fee
    desk.money[POSITION] += side * quantity
    desk.money[COST] += side * value
    desk.counters[ENTERED] += 1
    day = (venue.time_ms[book] - 1) // MS_PER_DAY
    if day != desk.counters[TRADED_DAY]:
        desk.counters[TRADED_DAY] = day
        desk.counters[TRADING_DAYS] += 1


@compiled
def _exit(desk: Desk, unit: int, books: Books, book: int) -> None:
    """Close a unit completely: a quantity beyond the book's levels gets the last level's price."""
    side, quantity = desk.integers[unit, SIDE], desk.floats[unit, QUANTITY]
    value, missing = _walk(desk, books, book, -side, quantity)
    if missing > 0:
        desk.counters[THIN] += 1
        value += missing * _deepest(books, book, -side)
    entry = desk.floats[unit, ENTRY_PRICE]
    price = value / quantity if quantity > 0 else entry
    fee = desk.rules.taker_fee * value
    desk.integers[unit, EXIT_MS] = books.time_ms[book]
    desk.floats[unit, EXIT_PRICE] = price
    desk.floats[unit, EXIT_MID] = _mid(books, book)
    desk.floats[unit, FEES] += fee
    desk.money[BALANCE] += side * quantity * (price - entry) - fee
    desk.counters[LEFT] += 1
    if desk.counters[LEFT] == desk.counters[ENTERED]:
        # Without positions all is exactly zero, whatever rounding has left.
        desk.money[POSITION] = 0.0
        desk.money[COST] = 0.0
    else:
        desk.money[POSITION] -= side * quantity
        desk.money[COST] -= side * quantity * entry


@compiled
def _walk(desk: Desk, books: Books, book: int, side: int, wanted: float) -> tuple[float, float]:
    """Buy (side 1) or sell along a book's levels; return the value and the unfilled quantity.

    Size that an earlier order took from the same book at the same moment is gone.
    """
    levels, met = books.levels, _met_side(side)
    if desk.counters[TAKEN_MS + met] != books.time_ms[book]:
        desk.counters[TAKEN_MS + met] = books.time_ms[book]
        desk.counters[TAKEN_LEVEL + met] = 0
        desk.money[TAKEN + met] = 0.0
    value, missing = 0.0, wanted
    level = desk.counters[TAKEN_LEVEL + met]
    while missing > 0 and _is_there(books, book, met, level):
        price = levels[book, met, level, PRICE]
        there = levels[book, met, level, SIZE] - desk.money[TAKEN + met]
        if missing < there:
            value += missing * price
            desk.money[TAKEN + met] += missing
            missing = 0.0
        else:
            value += there * price
            missing -= there
            desk.money[TAKEN + met] = 0.0
            level += 1
    desk.counters[TAKEN_LEVEL + met] = level
    return value, missing


@compiled
def _deepest(books: Books, book: int, side: int) -> float:
    met, level = _met_side(side), 0
    while _is_there(books, book, met, level + 1):
        level += 1
    return float(books.levels[book, met, level, PRICE])


@compiled
def _is_there(books: Books, book: int, met: int, level: int) -> bool:
    return level < books.levels.shape[2] and bool(books.levels[book, met, level, SIZE] > 0)


@compiled
def _met_side(side: int) -> int:
    return ASK if side == 1 else BID


@compiled
def _mid(books: Books, book: int) -> float:
    return float(books.levels[book, BID, 0, PRICE] + books.levels[book, ASK, 0, PRICE]) / 2


@compiled
def _decide(desk: Desk, row: int, now: int) -> None:
    """Place the orders of this minute's close: exits that are due, then the signal's."""
    counters, side = desk.counters, desk.signal[row]
    while (
        counters[LEAVING] < counters[ORDERED]
        and now - desk.minutes.time_ms[desk.integers[counters[LEAVING], SIGNAL_ROW]]
        >= desk.rules.horizon_ms
    ):
        _order_exit(desk, row, HORIZON)
    if side == 0:
        return
    while counters[LEAVING] < counters[ORDERED] and desk.integers[counters[LEAVING], SIDE] == -side:
        _order_exit(desk, row, OPPOSITE)
    staying = counters[ORDERED] - counters[LEAVING]
    if (staying + 1) * desk.rules.notional > desk.rules.max_position:
        counters[IGNORED] += 1
    else:
        _order_entry(desk, row, now, side)


@compiled
def _order_entry(desk: Desk, row: int, now: int, side: int) -> None:
    book = desk.met[row]
    times = desk.venue.time_ms
    if book == len(times) or times[book] - now > desk.rules.horizon_ms:
        desk.counters[LAPSED] += 1
        return
    unit = desk.counters[ORDERED]
    desk.integers[unit, SIDE] = side
    desk.integers[unit, SIGNAL_ROW] = row
    desk.integers[unit, ENTRY_BOOK] = book
    desk.counters[ORDERED] += 1


@compiled
def _order_exit(desk: Desk, row: int, reason: int) -> None:
    unit = desk.counters[LEAVING]
    desk.integers[unit, EXIT_ROW] = row
    desk.integers[unit, EXIT_BOOK] = desk.met[row]
    desk.integers[unit, REASON] = reason
    desk.counters[LEAVING] += 1


@compiled
def _close_all(desk: Desk, row: int, reason: int) -> None:
    """Close all positions at this minute's own book; pending orders lapse."""
    counters = desk.counters
    counters[LAPSED] += counters[ORDERED] - counters[ENTERED]
    counters[ORDERED] = counters[ENTERED]
    counters[LEAVING] = counters[ENTERED]
    while counters[LEFT] < counters[ENTERED]:
        unit = counters[LEFT]
        desk.integers[unit, EXIT_ROW] = row
        desk.integers[unit, REASON] = reason
        _exit(desk, unit, desk.minutes, row)


@compiled
def _equity(desk: Desk, row: int) -> float:
    value = desk.money[POSITION] * _mid(desk.minutes, row) - desk.money[COST]
    return float(desk.money[BALANCE] + value)


@compiled
def _verdict(desk: Desk, row: int) -> int:
    """Return whether a loss limit is breached, and which."""
    equity, rules = _equity(desk, row), desk.rules
    if rules.initial_balance - equity > rules.total_loss:
        return TOTAL_LOSS
    if desk.money[DAY_START] - equity > rules.daily_loss:
        return DAILY_LOSS
    return OPEN


@compiled
def _judge(desk: Desk, row: int) -> None:
    """End the account on a breach; record when its target is reached."""
    counters, verdict = desk.counters, _verdict(desk, row)
    if verdict != OPEN:
        _close_all(desk, row, DAILY_BREACH if verdict == DAILY_LOSS else TOTAL_BREACH)
        counters[OUTCOME] = verdict
        counters[END_ROW] = row
    elif counters[OUTCOME] == OPEN and counters[TRADING_DAYS] >= desk.rules.min_trading_days:
        reached = min(desk.money[BALANCE], _equity(desk, row)) - desk.rules.initial_balance
        if reached >= desk.rules.profit_target:
            counters[OUTCOME] = TARGET
            counters[TARGET_ROW] = row


@compiled
def _record(desk: Desk, row: int) -> None:
    desk.course[row, SETTLED] = desk.money[BALANCE]
    desk.course[row, EQUITY] = _equity(desk, row)
    desk.course[row, HELD] = desk.money[POSITION]
