"""The simulated feed, compiled: move the touch, change sizes, write the line; time after time.

All of it stands in one file because numba's cache looks only at the file of the function that is
called: a part elsewhere could change and the old machine code would go on. The numbers that come
from `feed_parts` are compiled in too; with a change of one, this file must change.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from quantgod.contracts import MS_PER_MINUTE, Floats, Integers
from quantgod.simulation.feed_parts import (
    BACK,
    COUNT,
    FRONT,
    KEY,
    NOTES,
    SIZE,
    SIZE_DECIMALS,
    STAMP,
    START,
    TAKEN_BACK,
    TAKEN_FRONT,
    Bytes,
    Clock,
    Moment,
    Random,
    Rules,
    Side,
    Signs,
    Stamp,
    Wire,
)
from quantgod.simulation.price_path import STEPS_PER_MINUTE

NEAR: Final = 5
"""Levels from the touch whose sizes lean with the market."""

LATE_MS: Final = 10_000
"""Before each close, in which levels are requoted where a path has a shape or a flow."""
FLOW_MS: Final = 4_000
"""In which a flow shows itself, and then the same time its opposite; the rest is neutral."""

NEAR_WAVE: Final = np.ones(NEAR)
DEEP_WAVE: Final = np.repeat(np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / 6, 3)
"""By which share of the sign each level is larger: of levels 5 to 19 in bands of three, whose sum
and centre stay, so that no imbalance, depth or centre of mass tells the sign."""

KNOT_MS: Final = MS_PER_MINUTE // STEPS_PER_MINUTE
FIRST_UPDATE: Final = 20_000_000
FIRST_SEQUENCE: Final = 130_000_000_000

# Places in the market's notes: ticks between the best prices, and the sequence number.
_SPREAD, _SEQUENCE = 0, 1

_ONLY: Final = 0
"""Place in the arrays of one number, credit and random."""

_TEN: Final = np.uint64(10)
_NOTHING: Any = np.int64(0)  # a bare 0 would be compiled as a kind of its own
_QUOTE, _COMMA, _POINT, _ZERO, _OPEN, _CLOSE = 34, 44, 46, 48, 91, 93

_compiled = njit(error_model="numpy")


@njit(cache=True, error_model="numpy")
def write_messages(
    out: Bytes, room: int, span: Any, book: Any, tape: Any, state: Any, wire: Wire
) -> Any:
    """Write messages until `span`'s count is reached or less than `room` bytes are left.

    `span` is the first message, how many, which one is the day's snapshot, and its midnight in ms.

    Returns the bytes written and the messages written.
    """
    first, count, snapshot, midnight = span
    bids, asks, rules = book
    knots, signs, clock, changes = tape
    notes, credit, random = state
    at = written = _NOTHING
    while written < count and at + room <= out.size:
        message = first + written
        is_snapshot = message == snapshot
        elapsed = midnight + (message - snapshot) * clock.cadence_ms
        moment = _moment(signs, elapsed)
        bid, ask = _touch(knots, elapsed, notes, random)
        _move_touch(bids, -bid, moment.tilt, rules, message + 1, random)
        _move_touch(asks, ask, -moment.tilt, rules, message + 1, random)
        requoted = _NOTHING
        if not is_snapshot:
            _spend(bids, asks, moment.tilt, rules, message + 1, credit[_ONLY], random)
            requoted = _requote(bids, asks, moment, rules, message + 1, random)
        stamp = _stamp(clock, elapsed, message, is_snapshot, notes, random)
        at, changed = _write_message(out, at, bids, asks, stamp, wire)
        if not is_snapshot:
            spent = changed - requoted
            credit[_ONLY] = min(credit[_ONLY] + changes - spent, 4 * changes)
        written += 1
    return at, written


@_compiled
def _moment(signs: Signs, elapsed: int) -> Any:
    """What the path's signs ask for now: its flow takes the place of its lean before each close."""
    minute = min(elapsed // MS_PER_MINUTE, signs.lean.size - 1)
    late = elapsed % MS_PER_MINUTE - (MS_PER_MINUTE - LATE_MS)
    tilt, is_flow, is_shape, shape = signs.lean[minute], False, False, 0.0
    if late >= 0 and signs.flow.size > 0:
        is_flow = True
        tilt = signs.flow[minute] * _turn(late)
    if late >= 0 and signs.shape.size > 0:
        is_shape, shape = True, signs.shape[minute]
    return Moment(tilt, is_flow, is_shape, shape)


@_compiled
def _turn(late: int) -> Any:
    """Which way a flow goes, so many ms into the last ones: its own, the other, none."""
    return 1.0 if late < FLOW_MS else -1.0 if late < 2 * FLOW_MS else 0.0


@_compiled
def _touch(knots: Floats, elapsed: int, notes: Integers, random: Random) -> Any:
    """Best bid and ask in ticks around the path; the spread is one tick most of the time."""
    minute = min(elapsed // MS_PER_MINUTE, knots.shape[0] - 1)
    into = elapsed % MS_PER_MINUTE
    knot, part = into // KNOT_MS, (into % KNOT_MS) / KNOT_MS
    mid = (1 - part) * knots[minute, knot] + part * knots[minute, knot + 1]
    chance = _uniform(random)
    if chance < 0.02:
        notes[_SPREAD] = 2 + int(-np.log(1.0 - _uniform(random)) * 4)
    elif chance < 0.3:
        notes[_SPREAD] = 1
    bid = int(np.floor(mid - (notes[_SPREAD] - 1) / 2))
    return bid, bid + notes[_SPREAD]


@_compiled
def _spend(
    bids: Side, asks: Side, tilt: float, rules: Rules, message: int, credit: float, random: Random
) -> None:
    """Spend the changes that moves of the touch have left; the mean works out over time."""
    for _ in range(int(2 * _uniform(random) * credit + 0.5)):
        if _uniform(random) < 0.5:
            _churn(bids, tilt, rules, message, random)
        else:
            _churn(asks, -tilt, rules, message, random)


@_compiled
def _stamp(
    clock: Clock, elapsed: int, message: int, is_snapshot: bool, notes: Integers, random: Random
) -> Any:
    """System time lags the matching engine's by some ms; `seq` rises by any amount."""
    ts = clock.start_ms + elapsed + int(_uniform(random) * clock.jitter_ms)
    matched = ts - 1 - int(_uniform(random) * 12)
    notes[_SEQUENCE] += 1 + int(_uniform(random) * 400)
    return Stamp(ts, matched, FIRST_UPDATE + message, notes[_SEQUENCE], message + 1, is_snapshot)


# The book


@_compiled
def _move_touch(
    side: Side, best: int, lean: float, rules: Rules, message: int, random: Random
) -> None:
    """Make `best` the side's first key; the side has `depth` levels again when this returns."""
    side[NOTES, TAKEN_FRONT] = side[NOTES, TAKEN_BACK] = 0
    while side[NOTES, COUNT] > 0 and side[KEY, side[NOTES, START]] < best:
        _take_front(side)
    if side[NOTES, COUNT] == 0:
        _put_back(side, best, _lots(rules.near_lots, lean, random), message)
    key = min(side[KEY, side[NOTES, START]], best + rules.gap * rules.depth) - _step(rules, random)
    while key > best:
        _put_front(side, key, _lots(rules.near_lots, lean, random), message)
        key -= _step(rules, random)
    if side[KEY, side[NOTES, START]] > best:
        _put_front(side, best, _lots(rules.near_lots, lean, random), message)
    while side[NOTES, COUNT] > rules.depth:
        _take_back(side, message)
    while side[NOTES, COUNT] < rules.depth:
        _enter(side, rules, message, random)


@_compiled
def _churn(side: Side, lean: float, rules: Rules, message: int, random: Random) -> None:
    """Change one level's size, half of the time near the touch; or cancel or add one deeper in."""
    place = _uniform(random)
    index = int(2 * NEAR * place) if place < 0.5 else int(rules.depth * (2 * place - 1) ** 2)
    at = side[NOTES, START] + index
    if side[STAMP, at] == message:
        return
    kind = _uniform(random)
    if index < NEAR:
        side[SIZE, at] = _other_lots(side[SIZE, at], rules.near_lots, lean, random)
        side[STAMP, at] = message
    elif kind < 0.1 and index < rules.depth - 2:
        side[SIZE, at] = 0
        side[STAMP, at] = message
        _enter(side, rules, message, random)
    elif kind < 0.2 and index < rules.depth - 2:
        _insert_after(side, at, _lots(rules.deep_lots, 0.0, random), message)
    else:
        side[SIZE, at] = _other_lots(side[SIZE, at], rules.deep_lots, 0.0, random)
        side[STAMP, at] = message


@_compiled
def _requote(
    bids: Side, asks: Side, moment: Moment, rules: Rules, message: int, random: Random
) -> Any:
    """Requote the levels that show a flow or a shape, if there is one now; count them."""
    count = _NOTHING
    if moment.is_flow:
        for side, tilt in ((bids, moment.tilt), (asks, -moment.tilt)):
            count += _resize(side, 0, NEAR_WAVE, rules.near_lots, tilt, message, random)
    if moment.is_shape:
        for side in (bids, asks):
            count += _resize(side, NEAR, DEEP_WAVE, rules.deep_lots, moment.shape, message, random)
    return count


@_compiled
def _resize(
    side: Side, begin: int, wave: Floats, mean: float, sign: float, message: int, random: Random
) -> Any:
    """Change the size of each level from `begin` on that the message has left alone; count them."""
    count = _NOTHING
    for place in range(wave.size):
        at = side[NOTES, START] + begin + place
        if side[STAMP, at] != message:
            side[SIZE, at] = _other_lots(side[SIZE, at], mean, sign * wave[place], random)
            side[STAMP, at] = message
            count += 1
    return count


@_compiled
def _take_front(side: Side) -> None:
    side[FRONT, side[NOTES, TAKEN_FRONT]] = side[KEY, side[NOTES, START]]
    side[NOTES, TAKEN_FRONT] += 1
    side[NOTES, START] += 1
    side[NOTES, COUNT] -= 1


@_compiled
def _take_back(side: Side, message: int) -> None:
    """Drop the worst level; one that came with this very message was never shown."""
    last = side[NOTES, START] + side[NOTES, COUNT] - 1
    if side[STAMP, last] != message:
        side[BACK, side[NOTES, TAKEN_BACK]] = side[KEY, last]
        side[NOTES, TAKEN_BACK] += 1
    side[NOTES, COUNT] -= 1


@_compiled
def _put_front(side: Side, key: int, lots: int, message: int) -> None:
    if side[NOTES, START] == 0:
        _recentre(side)
    side[NOTES, START] -= 1
    side[NOTES, COUNT] += 1
    _set(side, side[NOTES, START], key, lots, message)


@_compiled
def _put_back(side: Side, key: int, lots: int, message: int) -> None:
    if side[NOTES, START] + side[NOTES, COUNT] == side.shape[1]:
        _recentre(side)
    _set(side, side[NOTES, START] + side[NOTES, COUNT], key, lots, message)
    side[NOTES, COUNT] += 1


@_compiled
def _enter(side: Side, rules: Rules, message: int, random: Random) -> None:
    """A level from outside the window comes into sight, beyond all that this message took away."""
    worst = side[KEY, side[NOTES, START] + side[NOTES, COUNT] - 1]
    if side[NOTES, TAKEN_BACK] > 0:
        worst = max(worst, side[BACK, 0])
    lots = _lots(rules.deep_lots, 0.0, random)
    _put_back(side, worst + _step(rules, random), lots, message)


@_compiled
def _insert_after(side: Side, at: int, lots: int, message: int) -> None:
    """Put a level into the hole behind `at`, if there is one; the worst level leaves the window."""
    end = side[NOTES, START] + side[NOTES, COUNT]
    if side[KEY, at + 1] - side[KEY, at] < 2 or side[STAMP, end - 1] == message:
        return
    _take_back(side, message)
    for to in range(end - 1, at + 1, -1):
        side[KEY, to] = side[KEY, to - 1]
        side[SIZE, to] = side[SIZE, to - 1]
        side[STAMP, to] = side[STAMP, to - 1]
    _set(side, at + 1, (side[KEY, at] + side[KEY, at + 2]) // 2, lots, message)
    side[NOTES, COUNT] += 1


@_compiled
def _set(side: Side, at: int, key: int, lots: int, message: int) -> None:
    side[KEY, at] = key
    side[SIZE, at] = lots
    side[STAMP, at] = message


@_compiled
def _recentre(side: Side) -> None:
    """Move the levels to the middle of the columns: these are so many that no place is in both."""
    count, old = side[NOTES, COUNT], side[NOTES, START]
    new = (side.shape[1] - count) // 2
    for i in range(count):
        _set(side, new + i, side[KEY, old + i], side[SIZE, old + i], side[STAMP, old + i])
    side[NOTES, START] = new


@_compiled
def _step(rules: Rules, random: Random) -> Any:
    return 1 + int(_uniform(random) * (2 * rules.gap - 1))


@_compiled
def _lots(mean: float, lean: float, random: Random) -> Any:
    """An exponential size of mean `mean * (1 + lean)`, at least one lot."""
    return 1 + int(-np.log(1.0 - _uniform(random)) * mean * (1.0 + lean))


@_compiled
def _other_lots(old: int, mean: float, lean: float, random: Random) -> Any:
    """A new size that differs from the old one: a venue reports changes only."""
    lots = _lots(mean, lean, random)
    return lots + 1 if lots == old else lots


@_compiled
def _uniform(random: Random) -> Any:
    """The next number in [0, 1) of a splitmix64 stream (Steele, Lea and Flood, 2014)."""
    random[_ONLY] += np.uint64(0x9E3779B97F4A7C15)
    z = random[_ONLY]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


# The line


@_compiled
def _write_message(out: Bytes, at: int, bids: Side, asks: Side, stamp: Stamp, wire: Wire) -> Any:
    """Write one line at `out[at:]`; returns where it ends and how many level changes it holds."""
    kind = wire.snapshot if stamp.is_snapshot else wire.delta
    at = _text(out, at, wire.head)
    if wire.type_first:
        at = _integer(out, _text(out, _text(out, at, kind), wire.middle), stamp.ts)
    else:
        at = _text(out, _text(out, _integer(out, at, stamp.ts), wire.middle), kind)
    at, bid_changes = _levels(out, _text(out, at, wire.data), bids, -wire.units, stamp, wire)
    at, ask_changes = _levels(out, _text(out, at, wire.asks), asks, wire.units, stamp, wire)
    at = _integer(out, _text(out, at, wire.update), stamp.update)
    at = _integer(out, _text(out, at, wire.sequence), stamp.sequence)
    at = _integer(out, _text(out, at, wire.matched), stamp.matched)
    return _text(out, at, wire.end), bid_changes + ask_changes


@_compiled
def _levels(out: Bytes, at: int, side: Side, scale: int, stamp: Stamp, wire: Wire) -> Any:
    """Write the side's changed levels (in a snapshot all), best first as the venue has them.

    Cancelled levels leave the side on the way. Returns where the text ends, and the changes.
    """
    begin, changes, gone = at, 0, 0
    decimals = wire.price_decimals
    if not stamp.is_snapshot:
        for i in range(side[NOTES, TAKEN_FRONT]):
            at = _level(out, at, scale * side[FRONT, i], _NOTHING, decimals)
        changes += side[NOTES, TAKEN_FRONT]
    for i in range(side[NOTES, START], side[NOTES, START] + side[NOTES, COUNT]):
        if stamp.is_snapshot or side[STAMP, i] == stamp.message:
            at = _level(out, at, scale * side[KEY, i], side[SIZE, i], decimals)
            changes += 1
        if side[SIZE, i] == 0:
            gone += 1
        elif gone > 0:
            _set(side, i - gone, side[KEY, i], side[SIZE, i], side[STAMP, i])
    side[NOTES, COUNT] -= gone
    if not stamp.is_snapshot:
        for i in range(side[NOTES, TAKEN_BACK] - 1, -1, -1):
            at = _level(out, at, scale * side[BACK, i], _NOTHING, decimals)
        changes += side[NOTES, TAKEN_BACK]
    return (at - 1 if at > begin else at), changes  # without the last comma


@_compiled
def _level(out: Bytes, at: int, price: int, lots: int, decimals: int) -> Any:
    """Write `["price","size"],`; a size of nothing is a bare zero."""
    out[at] = _OPEN
    out[at + 1] = _QUOTE
    at = _decimal(out, at + 2, price, decimals)
    out[at] = _QUOTE
    out[at + 1] = _COMMA
    out[at + 2] = _QUOTE
    if lots == 0:
        out[at + 3] = _ZERO
        at += 4
    else:
        at = _decimal(out, at + 3, lots, _NOTHING + SIZE_DECIMALS)
    out[at] = _QUOTE
    out[at + 1] = _CLOSE
    out[at + 2] = _COMMA
    return at + 3


@_compiled
def _decimal(out: Bytes, at: int, value: int, decimals: int) -> Any:
    """Write value / 10**decimals with that many decimals."""
    rest, end = np.uint64(value), at + _digits(value, decimals + 1) + (decimals > 0)
    for place in range(end - 1, at - 1, -1):
        if decimals > 0 and place == end - 1 - decimals:
            out[place] = _POINT
        else:
            out[place] = _ZERO + rest % _TEN
            rest //= _TEN
    return end


@_compiled
def _integer(out: Bytes, at: int, value: int) -> Any:
    return _decimal(out, at, value, _NOTHING)


@_compiled
def _digits(value: int, least: int) -> Any:
    digits, bound = 1, 10
    while value >= bound:
        digits += 1
        bound *= 10
    return max(digits, least)


@_compiled
def _text(out: Bytes, at: int, text: Bytes) -> Any:
    for i in range(text.size):
        out[at + i] = text[i]
    return at + text.size
