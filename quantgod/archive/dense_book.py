"""Keep an order book as two arrays of sizes by tick, for the fast reader.

Prices become whole ticks of a scale taken from the data: price = tick * STEP / 10^DECIMALS, which
equals the parsed decimal to the bit (a product with 0.1 would not). A price outside the arrays, or
between two ticks, makes the book move to a wider window or a finer scale. Prices that no scale can
hold raise `Unfit`, and the reference reader reads the file.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

import numpy as np

from quantgod.archive.compiled import compiled, inlined
from quantgod.archive.levels import (
    ASKS,
    BIDS,
    DECIMALS,
    HIGH,
    IS_SNAPSHOT,
    LARGEST_PRICE,
    LOW,
    STEP,
)
from quantgod.archive.tokens import LARGEST_DIGITS, POWERS
from quantgod.contracts import Floats, Integers
from quantgod.market.book import DEEP_LEVELS, Quote

# Positions in the edges. BEST is an index into the arrays, valid while the count is above zero;
# FIRST and LAST bound all used indices.
BASE, BEST_BID, BEST_ASK, BID_COUNT, ASK_COUNT, FIRST, LAST = range(7)
EDGES: Final = 7

LEAST_WIDTH: Final = 1 << 14
LARGEST_WIDTH: Final = 1 << 22
LARGEST_MOVES: Final = 1_000
"""Maximal number of moves within one file; each costs milliseconds."""


class Unfit(Exception):
    """Prices do not fit into a dense book."""


class DenseBook:
    """The arrays of the compiled code, and the moves of their window.

    Attributes:
        sizes: float64 [2, width], bids and asks by tick minus BASE.
        edges: int64 [7], see above.
        scale: int64 [2], DECIMALS and STEP.
    """

    def __init__(self) -> None:
        self.sizes: Floats = np.zeros((2, 0))
        self.edges: Integers = np.zeros(EDGES, dtype=np.int64)
        self.scale: Integers = np.zeros(2, dtype=np.int64)  # gcd(0, step) is step
        self._moves = 0
        self._reset()

    def ticks(self, prices: Floats, *, is_snapshot: bool) -> Integers:
        """Return the ticks of these prices, after making room for them if needed.

        A snapshot replaces all levels, so room is then made for its prices only.

        Raises:
            Unfit: if no scale or window holds them all.
        """
        ticks = self._ticks(prices)
        if ticks is None:
            self._moves += 1
            if self._moves > LARGEST_MOVES:
                raise Unfit("the book had to move too often")
            self._move(prices, [] if is_snapshot else self.levels())
            ticks = self._ticks(prices)
        if ticks is None:
            raise Unfit("a price lies between two ticks")
        return ticks

    def replace(self, bids: Floats, asks: Floats) -> None:
        """Replace all levels by these, [n, 2], best first.

        Raises:
            Unfit: if no scale or window holds them all.
        """
        prices = np.concatenate([bids[:, 0], asks[:, 0]])
        if len(prices):
            self.ticks(prices, is_snapshot=True)
        self.clear()
        self._fill(0, bids)
        self._fill(1, asks)

    def clear(self) -> None:
        """Empty both sides."""
        self.sizes[:] = 0.0
        self._reset()

    def levels(self) -> list[Floats]:
        """Return all bids and all asks, [n, 2] of price and size, best first."""
        decimals, step = self.scale.tolist()
        sides = []
        for side, order in zip(self.sizes, (-1, 1), strict=True):
            place = np.flatnonzero(side)[::order]
            prices = (place + self.edges[BASE]) * step / float(10**decimals)
            sides.append(np.column_stack([prices, side[place]]))
        return sides

    def _ticks(self, prices: Floats) -> Integers | None:
        """Return the prices as ticks, verified by dividing back; None if one does not fit."""
        decimals, step = self.scale.tolist()
        if not len(prices):
            return np.zeros(0, dtype=np.int64)
        if not step:
            return None
        power = float(10**decimals)
        ticks: Floats = np.rint(prices * power / step)
        if np.any(ticks * step >= LARGEST_PRICE) or np.any(ticks * step / power != prices):
            return None
        places = ticks - self.edges[BASE]
        if np.any(places < 0) or np.any(places >= self.sizes.shape[1]):
            return None
        return ticks.astype(np.int64)

    def _move(self, prices: Floats, held: list[Floats]) -> None:
        everything = np.concatenate([prices, *(side[:, 0] for side in held)])
        self._rescale([_decimal(price) for price in everything.tolist()])
        decimals, step = self.scale.tolist()
        self._rebase(np.rint(everything * float(10**decimals) / step))
        for side, levels in enumerate(held):
            self._fill(side, levels)

    def _rescale(self, prices: list[tuple[int, int]]) -> None:
        """Refine the scale to hold these prices; it never becomes coarser within a file."""
        before, step = self.scale.tolist()
        decimals = max(before, *(places for _, places in prices))
        mantissas = [mantissa * 10 ** (decimals - places) for mantissa, places in prices]
        if decimals > LARGEST_DIGITS or max(mantissas) >= LARGEST_PRICE:
            raise Unfit("a price has too many digits")
        self.scale[:] = decimals, math.gcd(step * 10 ** (decimals - before), *mantissas)

    def _rebase(self, ticks: Floats) -> None:
        first, last = int(ticks.min()), int(ticks.max())
        width = last - first + 1
        if width > LARGEST_WIDTH:
            raise Unfit(f"prices span {width} ticks")
        # Twice the needed width, so that a moving price seldom leaves the window.
        wide = max(LEAST_WIDTH, min(LARGEST_WIDTH, 1 << (2 * width - 1).bit_length()))
        self.sizes = np.zeros((2, wide))
        self._reset()
        self.edges[BASE] = first - (wide - width) // 2

    def _fill(self, side: int, levels: Floats) -> None:
        if not len(levels):
            return
        decimals, step = self.scale.tolist()
        ticks = np.rint(levels[:, 0] * float(10**decimals) / step).astype(np.int64)
        places = ticks - self.edges[BASE]
        self.sizes[side, places] = levels[:, 1]
        self.edges[BID_COUNT + side] = len(levels)
        self.edges[BEST_BID + side] = places[0]
        self.edges[FIRST] = min(self.edges[FIRST], places.min())
        self.edges[LAST] = max(self.edges[LAST], places.max())

    def _reset(self) -> None:
        self.edges[:] = self.edges[BASE], -1, self.sizes.shape[1], 0, 0, self.sizes.shape[1], -1


def _decimal(price: float) -> tuple[int, int]:
    """Return the shortest decimal equal to this double: mantissa and decimals."""
    _, digits, exponent = Decimal(repr(price)).normalize().as_tuple()
    mantissa = int("".join(map(str, digits))) * 10 ** max(0, int(exponent))
    return mantissa, max(0, -int(exponent))


@inlined
def has_room(sizes: Floats, edges: Integers, message: Integers) -> bool:
    """Return whether all ticks of a parsed message lie in the window."""
    low, high = message[LOW] - edges[BASE], message[HIGH] - edges[BASE]
    return bool(low >= 0 and high < sizes.shape[1])


@compiled
def clear(sizes: Floats, edges: Integers) -> None:
    """Empty both sides."""
    sizes[:, edges[FIRST] : edges[LAST] + 1] = 0.0
    edges[BEST_BID], edges[BEST_ASK] = -1, sizes.shape[1]
    edges[BID_COUNT] = edges[ASK_COUNT] = 0
    edges[FIRST], edges[LAST] = sizes.shape[1], -1


@compiled
def apply(
    sizes: Floats, edges: Integers, message: Integers, ticks: Integers, changes: Floats
) -> None:
    """Apply a parsed message, whose ticks lie in the window."""
    if message[IS_SNAPSHOT]:
        clear(sizes, edges)
    edges[FIRST] = min(edges[FIRST], message[LOW] - edges[BASE])
    edges[LAST] = max(edges[LAST], message[HIGH] - edges[BASE])
    _apply_bids(sizes[0], edges, ticks[0], changes[0], message[BIDS])
    _apply_asks(sizes[1], edges, ticks[1], changes[1], message[ASKS])


@inlined
def _apply_bids(
    sizes: Floats, edges: Integers, ticks: Integers, changes: Floats, count: int
) -> None:
    best, levels = edges[BEST_BID], edges[BID_COUNT]
    for change in range(count):
        place = ticks[change] - edges[BASE]
        size = changes[change]
        levels += (size != 0.0) - (sizes[place] != 0.0)
        sizes[place] = size
        if size != 0.0:
            best = max(best, place)
    while levels and sizes[best] == 0.0:
        best -= 1
    edges[BEST_BID], edges[BID_COUNT] = best if levels else -1, levels


@inlined
def _apply_asks(
    sizes: Floats, edges: Integers, ticks: Integers, changes: Floats, count: int
) -> None:
    best, levels = edges[BEST_ASK], edges[ASK_COUNT]
    for change in range(count):
        place = ticks[change] - edges[BASE]
        size = changes[change]
        levels += (size != 0.0) - (sizes[place] != 0.0)
        sizes[place] = size
        if size != 0.0:
            best = min(best, place)
    while levels and sizes[best] == 0.0:
        best += 1
    edges[BEST_ASK], edges[ASK_COUNT] = best if levels else sizes.size, levels


@compiled
def quote(sizes: Floats, edges: Integers, scale: Integers) -> Quote:
    """Return the data of a second sample, as `market.book.OrderBook.quote` does."""
    bid, ask = edges[BEST_BID], edges[BEST_ASK]
    bid_depth = ask_depth = 0.0
    place, left = bid, min(DEEP_LEVELS, edges[BID_COUNT])
    while left:
        if sizes[0, place] != 0.0:
            bid_depth += sizes[0, place]
            left -= 1
        place -= 1
    place, left = ask, min(DEEP_LEVELS, edges[ASK_COUNT])
    while left:
        if sizes[1, place] != 0.0:
            ask_depth += sizes[1, place]
            left -= 1
        place += 1
    bid_price, ask_price = price_at(edges, scale, bid), price_at(edges, scale, ask)
    return bid_price, sizes[0, bid], ask_price, sizes[1, ask], bid_depth, ask_depth


@compiled
def top(sizes: Floats, edges: Integers, scale: Integers, levels: Floats) -> None:
    """Fill [2, n, 2] with the best n bids and asks; NaN price, zero size where there are fewer."""
    # Taken out of the loop by hand: a compiler cannot know that the levels overlap none of them.
    base, step, power = edges[BASE], scale[STEP], POWERS[scale[DECIMALS]]
    for side in range(2):
        place, way = edges[BEST_BID + side], 1 if side else -1
        count = min(levels.shape[1], edges[BID_COUNT + side])
        for level in range(count):
            while sizes[side, place] == 0.0:
                place += way
            levels[side, level, 0] = (place + base) * step / power
            levels[side, level, 1] = sizes[side, place]
            place += way
        levels[side, count:, 0] = np.nan
        levels[side, count:, 1] = 0.0


@inlined
def price_at(edges: Integers, scale: Integers, place: int) -> float:
    """Return the price of an index by one division, equal to the parsed decimal to the bit."""
    return float((place + edges[BASE]) * scale[STEP] / POWERS[scale[DECIMALS]])
