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

from quantgod.archive.compiled import NEWLINE, byte, compiled, inlined
from quantgod.archive.digits import digits_before

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

REFUSED: Final = 0

# Places in the parsed message's integers. LOW and HIGH bound the ticks of all its levels.
TS, UPDATE_ID, IS_SNAPSHOT, BIDS, ASKS, LOW, HIGH = range(7)
MESSAGE_LENGTH: Final = 7

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

KEY_TOPIC, KEY_TYPE, KEY_TS, KEY_CTS, KEY_DATA, KEY_S, KEY_U, KEY_SEQ, KEY_B, KEY_A = (
    1 << place for place in range(10)
)
NEEDED: Final = KEY_TOPIC | KEY_TYPE | KEY_TS | KEY_DATA | KEY_S | KEY_U | KEY_B | KEY_A

QUOTE, COMMA, COLON, OPEN, CLOSE, LEFT, RIGHT, POINT, ZERO = (
    ord(character) for character in '",:{}[].0'
)
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


@inlined
def _side(
    at: int, last: int, scale: Integers, message: Integers, ticks: Integers, sizes: Floats
) -> tuple[int, int]:
    """One side's levels; gives the place after them and their number."""
    low, high = message[LOW], message[HIGH]
    count = 0
    at = white(_past(at, LEFT))
    if byte(at) == RIGHT:
        return at + 1, 0
    price_digits = price_decimals = size_digits = size_decimals = 0
    known, factor, divisor, inverse = -1, 0.0, 1.0, 1.0
    while at and count < ticks.size:
        at = _past(_past(at, LEFT), QUOTE)
        after, price = _alike(at, last, price_digits, price_decimals)
        if not after:
            after, price, price_digits, price_decimals = _decimal(at)
        at = _past(_past(after, COMMA), QUOTE)
        after, size = _alike(at, last, size_digits, size_decimals)
        if not after:
            after, size, size_digits, size_decimals = _decimal(at)
        at = _past(after, RIGHT)
        if price_decimals != known:
            known = price_decimals
            factor, divisor = _conversion(known, scale)
            inverse = 1.0 / divisor
        # In doubles, exact below 10^15; the product is off by less than a half, so no division.
        scaled = price * factor
        tick = int(scaled * inverse + 0.5)
        if not (at and tick and scaled < LARGEST_PRICE and tick * divisor == scaled):
            break
        ticks[count] = tick
        sizes[count] = size / POWERS[size_decimals]
        count += 1
        low, high = min(low, tick), max(high, tick)
        at = white(at)
        if byte(at) == RIGHT:
            message[LOW], message[HIGH] = low, high
            return at + 1, count
        at = _past(at, COMMA)
    return REFUSED, 0


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
def _alike(at: int, last: int, digits: int, decimals: int) -> tuple[int, int]:
    """A decimal that may be written like the one before it: place after its quote, and mantissa.

    Most are, and a processor that may guess where a number ends need not wait for its bytes.
    REFUSED says only that this one must be read digit by digit.
    """
    point = at + digits
    end = point + 1 + decimals
    if not (0 < digits <= 8 and 0 < decimals <= 8 and at and end < last):
        return REFUSED, 0
    if byte(point) != POINT or byte(end) != QUOTE or (digits > 1 and byte(at) == ZERO):
        return REFUSED, 0
    whole, fraction = digits_before(point, digits), digits_before(end, decimals)
    mantissa = whole * POWERS[decimals] + fraction
    if whole < 0 or fraction < 0 or mantissa >= LARGEST_MANTISSA:
        return REFUSED, 0
    return end + 1, mantissa


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
