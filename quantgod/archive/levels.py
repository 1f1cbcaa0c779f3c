"""Parse the levels of a message to ticks and sizes, which takes nearly all parsing time.

Most levels are read in words of eight bytes (`_levels_alike`), others byte by byte, which also
determines how prices are written. Neither accepts text that the other would read differently.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.archive.compiled import byte, compiled, inlined, word
from quantgod.archive.digits import (
    ABOVE_NINE,
    BITS_8,
    HIGH_BITS,
    NINE,
    ZEROS,
    short_decimal,
    value,
)
from quantgod.archive.digits import POINT as POINT_BYTE
from quantgod.archive.tokens import (
    COMMA,
    LARGEST_DIGITS,
    LARGEST_MANTISSA,
    LEFT,
    POWERS,
    QUOTE,
    REFUSED,
    RIGHT,
    decimal,
    past,
    white,
)
from quantgod.contracts import Floats, Integers

# Positions in the parsed message's integers. LOW and HIGH bound the ticks of all its levels.
# DIGITS and PLACES: digits before and after the point of the last price, a guess for the next.
TS, UPDATE_ID, IS_SNAPSHOT, BIDS, ASKS, LOW, HIGH, DIGITS, PLACES = range(9)
MESSAGE_LENGTH: Final = 9

# Places in the scale by which a price becomes a tick: price = tick * STEP / 10^DECIMALS.
DECIMALS, STEP = range(2)

NO_LOW, NO_HIGH = LARGEST_MANTISSA, -1
"""LOW and HIGH of a message without levels."""

LEVELS: Final = 4096
"""Maximal levels per side; messages with more are left to the reference reader."""

LARGEST_PRICE: Final = 10**15
"""Below this, different decimals are different doubles, so comparing ticks is exact."""

DIVISORS: Final = np.array([1.0, *(float(10**k) for k in range(LARGEST_DIGITS + 1))])
"""Divisors of a size's mantissa, by the position that `short_decimal` returns."""

TWO, THREE = (np.uint64(256**count - 1) for count in (2, 3))
OPENING, BETWEEN, CLOSING, LAST = (
    np.uint64(int.from_bytes(text, "little")) for text in (b'["', b'","', b'"],', b'"]]')
)
BITS_56: Final = np.uint64(56)
ALL_BITS: Final = ~np.uint64(0)
LEVEL_REACH: Final = 40
"""So many bytes from its beginning may be looked at for a level: `["`, 15, `","`, 8 and a word."""


@compiled
def side(
    at: int, last: int, scale: Integers, message: Integers, ticks: Integers, sizes: Floats
) -> tuple[int, int]:
    """Parse one side's levels; return the position after them and their number."""
    at = white(past(at, LEFT))
    if byte(at) == RIGHT:
        return at + 1, 0
    count, is_end = 0, False
    while at and not is_end:
        at, count, is_end = _levels_alike(at, last, count, scale, message, ticks, sizes)
        if not is_end:
            at = _level(at, count, scale, message, ticks, sizes)
            count += 1
            is_end = byte(at) == RIGHT
            at = at + 1 if is_end else white(past(at, COMMA))
    return at, count


@compiled
def _level(
    at: int, count: int, scale: Integers, message: Integers, ticks: Integers, sizes: Floats
) -> int:
    """Parse one level byte by byte; return the position after it and white space."""
    if count >= ticks.size:
        return REFUSED
    at, price, digits, decimals = decimal(past(past(at, LEFT), QUOTE))
    message[DIGITS], message[PLACES] = digits, decimals
    at, size, _, size_decimals = decimal(past(past(at, COMMA), QUOTE))
    at = white(past(at, RIGHT))
    factor, divisor = _conversion(decimals, scale)
    scaled = price * factor
    tick = int(scaled / divisor)
    if not (at and tick and scaled < LARGEST_PRICE and tick * divisor == scaled):
        return REFUSED
    ticks[count] = tick
    sizes[count] = size / POWERS[size_decimals]
    message[LOW], message[HIGH] = min(message[LOW], tick), max(message[HIGH], tick)
    return at


@compiled
def _levels_alike(
    at: int,
    last: int,
    count: int,
    scale: Integers,
    message: Integers,
    ticks: Integers,
    sizes: Floats,
) -> tuple[int, int, bool]:
    """Parse levels without white space whose prices are written like the one before, as most are.

    If the end of a price can be guessed, the processor need not wait for its bytes. Returns the
    position after these levels, their number so far, and whether the side ends; the next level may
    be valid too, but must be read byte by byte.
    """
    digits, decimals = message[DIGITS], message[PLACES]
    length = digits + 1 + decimals
    if not (0 < decimals <= 7 and length <= 15):
        return at, count, False
    is_long = length > 8
    used = ALL_BITS << np.uint64(0 if is_long else 64 - 8 * length)
    used_before = ALL_BITS << np.uint64(128 - 8 * length)  # of a long one
    place = np.uint64(56 - 8 * decimals)  # of the point in the price's last eight bytes
    expected = ZEROS ^ (POINT_BYTE << place)
    limit = ABOVE_NINE + (NINE << place)
    behind = ALL_BITS << place
    least = POWERS[digits - 1 + decimals] * (digits > 1)  # one digit may be a zero
    factor, divisor = _conversion(decimals, scale)
    inverse = 1.0 / divisor
    low, high = message[LOW], message[HIGH]
    is_end = False
    while at + LEVEL_REACH <= last and count < ticks.size:
        end = at + 2 + length
        text = (word(end - 8) ^ expected) & used
        odd = ((text + limit) | text) & HIGH_BITS
        after = text & behind
        joined = after | ((text ^ after) << BITS_8)
        if is_long:
            more = (word(end - 16) ^ ZEROS) & used_before
            odd |= ((more + ABOVE_NINE) | more) & HIGH_BITS
            price = value(joined | (more >> BITS_56)) + value(more << BITS_8) * 100_000_000
        else:
            price = value(joined)
        odd |= ((word(at) ^ OPENING) & TWO) | ((word(end) ^ BETWEEN) & THREE)
        width, size, power = short_decimal(end + 3)
        closing = word(end + 3 + width) & THREE
        # In doubles, exact below 10^15; the product is off by less than a half, so no division.
        scaled = price * factor
        tick = int(scaled * inverse + 0.5)
        if odd != 0 or size < 0 or price < least:
            break
        if not (tick and scaled < LARGEST_PRICE and tick * divisor == scaled):
            break
        if closing not in (CLOSING, LAST):
            break
        ticks[count] = tick
        sizes[count] = size / DIVISORS[np.uint64(power)]
        count += 1
        low, high = min(low, tick), max(high, tick)
        at = end + 6 + width
        if closing == LAST:
            is_end = True
            break
    message[LOW], message[HIGH] = low, high
    return at, count, is_end


@inlined
def _conversion(decimals: int, scale: Integers) -> tuple[float, float]:
    """Return factor and divisor from a mantissa with these decimals to ticks.

    There are fewer decimals in the scale where a price is written with trailing zeros.
    """
    step = max(1, scale[STEP])  # 0 before the first price, when the book has no room for any
    more = scale[DECIMALS] - decimals
    return float(POWERS[max(more, 0)]), float(step) * float(POWERS[max(-more, 0)])
