"""The simulated order book: two sides of levels that follow a touch, compiled.

Both sides are kept best first in one array each. A bid's key is minus its price in ticks and an
ask's key its price, so that keys rise from the touch outwards on either side, and one code serves
both.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NEAR: Final = 5
"""Levels from the touch whose sizes lean with the market."""

# Places in the integer notes of a side: where it begins, how many levels it has, and how many were
# taken off its front and its back by the message in hand.
START, COUNT, TAKEN_FRONT, TAKEN_BACK = 0, 1, 2, 3

Ints = NDArray[np.int64]
Random = NDArray[np.uint64]


class Side(NamedTuple):
    """One side. `stamp` holds the number of the message that last changed a level.

    A level of size zero was cancelled by the message in hand and goes when that message is written.
    """

    key: Ints
    size: Ints
    stamp: Ints
    notes: Ints
    front: Ints
    back: Ints


class Rules(NamedTuple):
    """What the book is made of: levels a side, mean ticks between levels, sizes in lots."""

    depth: int
    gap: int
    near_lots: float
    deep_lots: float


def empty_side(depth: int) -> Side:
    """A side with room for `depth` levels and for what one message may add before it is trimmed."""
    key, size, stamp, front, back = np.zeros((5, 8 * depth), np.int64)
    notes = np.array([key.size // 2, 0, 0, 0], np.int64)
    return Side(key, size, stamp, notes, front, back)


@njit(cache=True, inline="always")
def uniform(random: Random) -> Any:
    """The next number in [0, 1) of a splitmix64 stream (Steele, Lea and Flood, 2014)."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def move_touch(
    side: Side, best: int, lean: float, rules: Rules, message: int, random: Random
) -> None:
    """Make `best` the side's first key; the side has `depth` levels again when this returns."""
    notes = side.notes
    notes[TAKEN_FRONT] = notes[TAKEN_BACK] = 0
    while notes[COUNT] > 0 and side.key[notes[START]] < best:
        _take_front(side)
    if notes[COUNT] == 0:
        _put_back(side, best, _lots(rules.near_lots, lean, random), message)
    key = min(side.key[notes[START]], best + rules.gap * rules.depth) - _step(rules, random)
    while key > best:
        _put_front(side, key, _lots(rules.near_lots, lean, random), message)
        key -= _step(rules, random)
    if side.key[notes[START]] > best:
        _put_front(side, best, _lots(rules.near_lots, lean, random), message)
    while notes[COUNT] > rules.depth:
        _take_back(side, message)
    while notes[COUNT] < rules.depth:
        _enter(side, rules, message, random)


@njit(cache=True)
def churn(side: Side, lean: float, rules: Rules, message: int, random: Random) -> None:
    """Change one level's size, half of the time near the touch; or cancel or add one deeper in."""
    place = uniform(random)
    index = int(2 * NEAR * place) if place < 0.5 else int(rules.depth * (2 * place - 1) ** 2)
    at = side.notes[START] + index
    if side.stamp[at] == message:
        return
    kind = uniform(random)
    if index < NEAR:
        side.size[at] = _other_lots(side.size[at], rules.near_lots, lean, random)
        side.stamp[at] = message
    elif kind < 0.1 and index < rules.depth - 2:
        side.size[at] = 0
        side.stamp[at] = message
        _enter(side, rules, message, random)
    elif kind < 0.2 and index < rules.depth - 2:
        _insert_after(side, at, _lots(rules.deep_lots, 0.0, random), message)
    else:
        side.size[at] = _other_lots(side.size[at], rules.deep_lots, 0.0, random)
        side.stamp[at] = message


@njit(cache=True)
def drop_cancelled(side: Side) -> None:
    """Close the ranks after a message is written: levels of size zero go."""
    start, kept = side.notes[START], 0
    for at in range(start, start + side.notes[COUNT]):
        if side.size[at] > 0:
            side.key[start + kept] = side.key[at]
            side.size[start + kept] = side.size[at]
            side.stamp[start + kept] = side.stamp[at]
            kept += 1
    side.notes[COUNT] = kept


@njit(cache=True, inline="always")
def _step(rules: Rules, random: Random) -> Any:
    return 1 + int(uniform(random) * (2 * rules.gap - 1))


@njit(cache=True, inline="always")
def _lots(mean: float, lean: float, random: Random) -> Any:
    """An exponential size of mean `mean * (1 + lean)`, at least one lot."""
    return 1 + int(-np.log(1.0 - uniform(random)) * mean * (1.0 + lean))


@njit(cache=True, inline="always")
def _other_lots(old: int, mean: float, lean: float, random: Random) -> Any:
    """A new size that differs from the old one: a venue reports changes only."""
    lots = _lots(mean, lean, random)
    return lots + 1 if lots == old else lots


@njit(cache=True)
def _take_front(side: Side) -> None:
    notes = side.notes
    side.front[notes[TAKEN_FRONT]] = side.key[notes[START]]
    notes[TAKEN_FRONT] += 1
    notes[START] += 1
    notes[COUNT] -= 1


@njit(cache=True)
def _take_back(side: Side, message: int) -> None:
    """Drop the worst level; one that came with this very message was never shown."""
    notes = side.notes
    last = notes[START] + notes[COUNT] - 1
    if side.stamp[last] != message:
        side.back[notes[TAKEN_BACK]] = side.key[last]
        notes[TAKEN_BACK] += 1
    notes[COUNT] -= 1


@njit(cache=True)
def _put_front(side: Side, key: int, lots: int, message: int) -> None:
    if side.notes[START] == 0:
        _recentre(side)
    side.notes[START] -= 1
    side.notes[COUNT] += 1
    _set(side, side.notes[START], key, lots, message)


@njit(cache=True)
def _put_back(side: Side, key: int, lots: int, message: int) -> None:
    if side.notes[START] + side.notes[COUNT] == side.key.size:
        _recentre(side)
    _set(side, side.notes[START] + side.notes[COUNT], key, lots, message)
    side.notes[COUNT] += 1


@njit(cache=True)
def _enter(side: Side, rules: Rules, message: int, random: Random) -> None:
    """A level from outside the window comes into sight, beyond all that this message took away."""
    notes = side.notes
    worst = side.key[notes[START] + notes[COUNT] - 1]
    if notes[TAKEN_BACK] > 0:
        worst = max(worst, side.back[0])
    lots = _lots(rules.deep_lots, 0.0, random)
    _put_back(side, worst + _step(rules, random), lots, message)


@njit(cache=True)
def _insert_after(side: Side, at: int, lots: int, message: int) -> None:
    """Put a level into the hole behind `at`, if there is one; the worst level leaves the window."""
    end = side.notes[START] + side.notes[COUNT]
    if side.key[at + 1] - side.key[at] < 2 or side.stamp[end - 1] == message:
        return
    _take_back(side, message)
    for to in range(end - 1, at + 1, -1):
        side.key[to] = side.key[to - 1]
        side.size[to] = side.size[to - 1]
        side.stamp[to] = side.stamp[to - 1]
    _set(side, at + 1, (side.key[at] + side.key[at + 2]) // 2, lots, message)
    side.notes[COUNT] += 1


@njit(cache=True, inline="always")
def _set(side: Side, at: int, key: int, lots: int, message: int) -> None:
    side.key[at] = key
    side.size[at] = lots
    side.stamp[at] = message


@njit(cache=True)
def _recentre(side: Side) -> None:
    count, old = side.notes[COUNT], side.notes[START]
    new = (side.key.size - count) // 2
    side.key[new : new + count] = side.key[old : old + count].copy()
    side.size[new : new + count] = side.size[old : old + count].copy()
    side.stamp[new : new + count] = side.stamp[old : old + count].copy()
    side.notes[START] = new
