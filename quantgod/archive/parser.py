"""Compiled parser of Bybit's book messages: bytes in, ticks and sizes out.

It takes lines of the known shape, keys in any order and white space anywhere. Whatever else comes,
sound or not, it refuses as a whole, and `market.bybit` reads the line. So it needs no reasons, but
it must never accept what the readable reader would refuse or would read otherwise.

Places are addresses. Every line ends with a newline, which no token holds, so nothing looks for the
end of the buffer. A refusal is the place 0, where `byte` sees a newline too: it is handed on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantgod.archive.compiled import NEWLINE, byte, compiled, inlined, word
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

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

REFUSED: Final = 0

# Places in the parsed message's integers. LOW and HIGH bound the ticks of all its levels.
# DIGITS and PLACES: before and behind the point of the price read last, a guess for the next one.
TS, UPDATE_ID, IS_SNAPSHOT, BIDS, ASKS, LOW, HIGH, DIGITS, PLACES = range(9)
MESSAGE_LENGTH: Final = 9

# Places in the scale by which a price becomes a tick: price = tick * STEP / 10^DECIMALS.
DECIMALS, STEP = range(2)

LEVELS: Final = 4096
"""Levels a side that a message may hold here; more are the readable reader's."""

LARGEST_MANTISSA: Final = 2**53
"""A mantissa below this divided by a power of ten up to 10^22 is rounded once, so exactly."""

PRICE_DIGITS: Final = 15
LARGEST_PRICE: Final = 10**PRICE_DIGITS
"""Below this two decimals are never one double, so levels that differ here differ everywhere."""

LARGEST_DIGITS: Final = 18
POWERS: Final = np.array([10**k for k in range(LARGEST_DIGITS + 1)], dtype=np.int64)

DIVISORS: Final = np.array([1.0, *(float(10**k) for k in range(LARGEST_DIGITS + 1))])
"""By what a size's mantissa is divided; the places are those that `short_decimal` gives."""

KEY_TOPIC, KEY_TYPE, KEY_TS, KEY_CTS, KEY_DATA, KEY_S, KEY_U, KEY_SEQ, KEY_B, KEY_A = (
    1 << place for place in range(10)
)
NEEDED: Final = KEY_TOPIC | KEY_TYPE | KEY_TS | KEY_DATA | KEY_S | KEY_U | KEY_B | KEY_A

QUOTE, COMMA, COLON, OPEN, CLOSE, LEFT, RIGHT, POINT, ZERO = (
    ord(character) for character in '",:{}[].0'
)
TWO, THREE = (np.uint64(256**count - 1) for count in (2, 3))
OPENING, BETWEEN, CLOSING, LAST = (
    np.uint64(int.from_bytes(text, "little")) for text in (b'["', b'","', b'"],', b'"]]')
)
BITS_56: Final = np.uint64(56)
LEVEL_REACH: Final = 40
"""So many bytes from its beginning may be looked at for a level: `["`, 15, `","`, 7 and a word."""

SPACE, TAB, RETURN = (ord(character) for character in " \t\r")


@compiled
def parse(
    at: int,
    last: int,
    topic: Bytes,
    symbol: Bytes,
    scale: Integers,
    message: Integers,
    ticks: Integers,
    sizes: Floats,
) -> int:
    """Parse the line that begins at `at` and ends with a newline; give the newline's place.

    Args:
        at: where the line begins.
        last: where what may be read ends; at least the line's newline lies before it.
        topic: what the line must name, in quotes, to the byte. It must hold no newline.
        symbol: the same of the symbol.
        scale: decimals and step of the book's ticks.
        message: out, [7]: what the constants above name.
        ticks: out, [2, LEVELS]: bids and asks as ticks.
        sizes: out, [2, LEVELS].

    Returns:
        The newline's place, or REFUSED for a line that is not of the known shape or whose prices
        are no whole ticks.
    """
    message[LOW] = LARGEST_MANTISSA
    message[HIGH] = -1
    seen = 0
    at = _past(at, OPEN)
    while at:
        at, key = _key(at)
        if seen & key:
            break
        seen |= key
        if key == KEY_TOPIC:
            at = _text(at, topic)
        elif key == KEY_TYPE:
            at = _type(at, message)
        elif key == KEY_TS:
            at, message[TS] = _integer(at)
        elif key == KEY_CTS:
            at, _ = _integer(at)
        elif key == KEY_DATA:
            at, inner = _data(at, last, symbol, scale, message, ticks, sizes)
            seen |= inner
        else:
            break
        at = white(at)
        if byte(at) == CLOSE:
            at = white(at + 1)
            return at if byte(at) == NEWLINE and seen & NEEDED == NEEDED else REFUSED
        at = _past(at, COMMA)
    return REFUSED


@compiled
def _data(
    at: int,
    last: int,
    symbol: Bytes,
    scale: Integers,
    message: Integers,
    ticks: Integers,
    sizes: Floats,
) -> tuple[int, int]:
    """The inner object; gives the place after it and the keys it held."""
    seen = 0
    at = _past(at, OPEN)
    while at:
        at, key = _key(at)
        if seen & key:
            break
        seen |= key
        if key == KEY_S:
            at = _text(at, symbol)
        elif key == KEY_U:
            at, message[UPDATE_ID] = _integer(at)
        elif key == KEY_SEQ:
            at, _ = _integer(at)
        elif key == KEY_B:
            at, message[BIDS] = _side(at, last, scale, message, ticks[0], sizes[0])
        elif key == KEY_A:
            at, message[ASKS] = _side(at, last, scale, message, ticks[1], sizes[1])
        else:
            break
        at = white(at)
        if byte(at) == CLOSE:
            return at + 1, seen
        at = _past(at, COMMA)
    return REFUSED, 0


@compiled
def _side(
    at: int, last: int, scale: Integers, message: Integers, ticks: Integers, sizes: Floats
) -> tuple[int, int]:
    """One side's levels; gives the place after them and their number."""
    at = white(_past(at, LEFT))
    if byte(at) == RIGHT:
        return at + 1, 0
    count = 0
    while at and count < ticks.size:
        at, count, is_end = _levels_alike(at, last, count, scale, message, ticks, sizes)
        if not is_end:
            at, is_end = _level(at, count, scale, message, ticks, sizes)
            count += 1
        if is_end:
            return at, count
    return REFUSED, 0


@compiled
def _level(
    at: int, count: int, scale: Integers, message: Integers, ticks: Integers, sizes: Floats
) -> tuple[int, bool]:
    """One level, byte by byte: place after its comma, or after the bracket that ends the side."""
    at, price, digits, decimals = _decimal(_past(_past(at, LEFT), QUOTE))
    message[DIGITS], message[PLACES] = digits, decimals
    at, size, _, size_decimals = _decimal(_past(_past(at, COMMA), QUOTE))
    at = white(_past(at, RIGHT))
    factor, divisor = _conversion(decimals, scale)
    scaled = price * factor
    tick = int(scaled / divisor)
    if not (at and tick and scaled < LARGEST_PRICE and tick * divisor == scaled):
        return REFUSED, False
    ticks[count] = tick
    sizes[count] = size / POWERS[size_decimals]
    message[LOW], message[HIGH] = min(message[LOW], tick), max(message[HIGH], tick)
    if byte(at) == RIGHT:
        return at + 1, True
    return white(_past(at, COMMA)), False


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
    """Levels without white space whose prices are written like the one before, as most are.

    A processor that may guess where a price ends need not wait for its bytes; sizes end where they
    will. Gives the place after these levels, how many there are now, and whether they end the side;
    the next one may be all right too, but must be read byte by byte.
    """
    digits, decimals = message[DIGITS], message[PLACES]
    length = digits + 1 + decimals
    if not (digits > 0 and 0 < decimals <= 7 and length <= 15):
        return at, count, False
    is_long = length > 8
    used = ~np.uint64(0) << np.uint64(0 if is_long else 64 - 8 * length)
    used_before = ~np.uint64(0) << np.uint64(128 - 8 * length if is_long else 63)
    place = np.uint64(56 - 8 * decimals)  # of the point in the price's last eight bytes
    expected = ZEROS ^ (POINT_BYTE << place)
    limit = ABOVE_NINE + (NINE << place)
    behind = ~np.uint64(0) << place
    least = POWERS[digits - 1 + decimals] if digits > 1 else 0
    factor, divisor = _conversion(decimals, scale)
    inverse = 1.0 / divisor
    low, high = message[LOW], message[HIGH]
    is_end = False
    final = min(last - LEVEL_REACH, last)
    while at <= final and count < ticks.size:
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
    """Factor and divisor that make a tick of a mantissa of so many decimals; factor 0: none can."""
    step = scale[STEP]
    more = scale[DECIMALS] - decimals
    if step == 0 or abs(more) > PRICE_DIGITS:
        return 0.0, 1.0
    if more >= 0:
        return float(POWERS[more]), float(step)
    return 1.0, float(step) * float(POWERS[-more])  # perhaps written with zeros behind


@inlined
def _decimal(at: int) -> tuple[int, int, int, int]:
    """A plain decimal up to its quote: place after it, mantissa, digits before the point, decimals.

    No sign, no exponent, no needless zero in front.
    """
    whole, digits = _digits(at)
    if digits != 1 and (digits == 0 or byte(at) == ZERO):
        return REFUSED, 0, 0, 0
    at += digits
    if byte(at) == QUOTE and digits <= LARGEST_DIGITS and whole < LARGEST_MANTISSA:
        return at + 1, whole, digits, 0
    fraction, decimals = _digits(at + 1)
    if byte(at) != POINT or decimals == 0 or digits + decimals > LARGEST_DIGITS:
        return REFUSED, 0, 0, 0
    at += 1 + decimals
    mantissa = whole * POWERS[decimals] + fraction
    if byte(at) != QUOTE or mantissa >= LARGEST_MANTISSA:
        return REFUSED, 0, 0, 0
    return at + 1, mantissa, digits, decimals


@compiled
def _integer(at: int) -> tuple[int, int]:
    """A bare integer without sign: place after it and value. The caller checks what follows."""
    at = white(at)
    if not at:
        return REFUSED, 0
    value, digits = _digits(at)
    if digits == 0 or digits > LARGEST_DIGITS or (digits > 1 and byte(at) == ZERO):
        return REFUSED, 0
    return at + digits, value


@inlined
def _digits(at: int) -> tuple[int, int]:
    """The number that begins at a place and how many digits it has; it overflows beyond 18."""
    first = at
    value = 0
    digit = byte(at) - ZERO
    while 0 <= digit <= 9:
        value = value * 10 + digit
        at += 1
        digit = byte(at) - ZERO
    return value, at - first


@compiled
def _key(at: int) -> tuple[int, int]:  # noqa: C901 - a table, written out
    """A known key and its colon: place after them and the key's bit, 0 for any other key."""
    at = _past(at, QUOTE)
    first = byte(at)
    key = 0
    if first == ord("a"):
        at, key = _match(at + 1, b'"'), KEY_A
    elif first == ord("b"):
        at, key = _match(at + 1, b'"'), KEY_B
    elif first == ord("u"):
        at, key = _match(at + 1, b'"'), KEY_U
    elif first == ord("s"):
        if byte(at + 1) == QUOTE:
            at, key = at + 2, KEY_S
        else:
            at, key = _match(at + 1, b'eq"'), KEY_SEQ
    elif first == ord("d"):
        at, key = _match(at + 1, b'ata"'), KEY_DATA
    elif first == ord("c"):
        at, key = _match(at + 1, b'ts"'), KEY_CTS
    elif first == ord("t"):
        second = byte(at + 1)
        if second == ord("s"):
            at, key = _match(at + 2, b'"'), KEY_TS
        elif second == ord("y"):
            at, key = _match(at + 2, b'pe"'), KEY_TYPE
        else:
            at, key = _match(at + 1, b'opic"'), KEY_TOPIC
    return _past(at, COLON), key


@compiled
def _type(at: int, message: Integers) -> int:
    at = _past(at, QUOTE)
    message[IS_SNAPSHOT] = byte(at) == ord("s")
    if message[IS_SNAPSHOT]:
        return _match(at, b'snapshot"')
    return _match(at, b'delta"')


@compiled
def _text(at: int, wanted: Bytes) -> int:
    at = white(at)
    for character in wanted:
        if byte(at) != character:
            return REFUSED
        at += 1
    return at


@compiled
def _match(at: int, wanted: bytes) -> int:
    for character in wanted:
        if byte(at) != character:
            return REFUSED
        at += 1
    return at


@inlined
def _past(at: int, character: int) -> int:
    """The place after `character` and the white space before it."""
    if not at:
        return REFUSED
    if byte(at) != character:
        at = white(at)
        if byte(at) != character:
            return REFUSED
    return at + 1


@inlined
def white(at: int) -> int:
    """The first place from `at` that is no white space."""
    while at and (byte(at) == SPACE or byte(at) == TAB or byte(at) == RETURN):
        at += 1
    return at
