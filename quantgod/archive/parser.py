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

LARGEST_PRICE: Final = 10**15
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
            at, inner = _data(at, symbol, scale, message, ticks, sizes)
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
            at, message[BIDS] = _side(at, scale, message, ticks[0], sizes[0])
        elif key == KEY_A:
            at, message[ASKS] = _side(at, scale, message, ticks[1], sizes[1])
        else:
            break
        at = white(at)
        if byte(at) == CLOSE:
            return at + 1, seen
        at = _past(at, COMMA)
    return REFUSED, 0


@inlined
def _side(
    at: int, scale: Integers, message: Integers, ticks: Integers, sizes: Floats
) -> tuple[int, int]:
    """One side's levels; gives the place after them and their number."""
    low, high = message[LOW], message[HIGH]
    count = 0
    at = white(_past(at, LEFT))
    if byte(at) == RIGHT:
        return at + 1, 0
    while at and count < ticks.size:
        at, price, decimals = _quoted(_past(at, LEFT))
        at, size, size_decimals = _quoted(_past(at, COMMA))
        at = _past(at, RIGHT)
        tick = _tick(price, decimals, scale)
        if not at or not tick:
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
def _tick(mantissa: int, decimals: int, scale: Integers) -> int:
    """A price as a whole number of ticks, or REFUSED."""
    wanted, step = scale[DECIMALS], scale[STEP]
    if decimals > wanted:  # perhaps written with zeros behind its last digit
        power = POWERS[decimals - wanted]
        if step > LARGEST_PRICE // power:
            return REFUSED
        step *= power
    elif decimals < wanted:
        power = POWERS[wanted - decimals]
        if mantissa >= LARGEST_PRICE // power:
            return REFUSED
        mantissa *= power
    if mantissa >= LARGEST_PRICE:
        return REFUSED
    if step == 1:
        return mantissa
    tick = mantissa // step
    return tick if tick * step == mantissa else REFUSED


@inlined
def _quoted(at: int) -> tuple[int, int, int]:
    """A plain decimal in quotes: place after it, mantissa, decimals. No sign, no exponent."""
    at = _past(at, QUOTE)
    if not at:
        return REFUSED, 0, 0
    whole, digits = _digits(at)
    if digits != 1 and (digits == 0 or byte(at) == ZERO):
        return REFUSED, 0, 0
    at += digits
    if byte(at) == QUOTE and digits <= LARGEST_DIGITS and whole < LARGEST_MANTISSA:
        return at + 1, whole, 0
    fraction, decimals = _digits(at + 1)
    if byte(at) != POINT or decimals == 0 or digits + decimals > LARGEST_DIGITS:
        return REFUSED, 0, 0
    at += 1 + decimals
    mantissa = whole * POWERS[decimals] + fraction
    if byte(at) != QUOTE or mantissa >= LARGEST_MANTISSA:
        return REFUSED, 0, 0
    return at + 1, mantissa, decimals


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
