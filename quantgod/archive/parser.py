"""Parse Bybit's book messages in compiled code: bytes in, ticks and sizes out.

It accepts lines of the known shape, with keys in any order and white space anywhere. It refuses all
other lines, valid or not, which `market.bybit` then decodes. So it needs no reasons, but it must
never accept a line that the reference reader would refuse or read differently. Positions are
addresses, see `archive.tokens`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantgod.archive.compiled import NEWLINE, byte, compiled
from quantgod.archive.levels import (
    ASKS,
    BIDS,
    HIGH,
    IS_SNAPSHOT,
    LOW,
    NO_HIGH,
    NO_LOW,
    TS,
    UPDATE_ID,
    side,
)
from quantgod.archive.tokens import (
    CLOSE,
    COLON,
    COMMA,
    OPEN,
    QUOTE,
    REFUSED,
    integer,
    match,
    past,
    white,
)
from quantgod.contracts import Floats, Integers

Bytes = NDArray[np.uint8]

KEY_TOPIC, KEY_TYPE, KEY_TS, KEY_CTS, KEY_DATA, KEY_S, KEY_U, KEY_SEQ, KEY_B, KEY_A = (
    1 << place for place in range(10)
)
NEEDED: Final = KEY_TOPIC | KEY_TYPE | KEY_TS | KEY_DATA | KEY_S | KEY_U | KEY_B | KEY_A
NO_KEY: Final = 0


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
    """Parse the line that begins at `at` and ends with a newline; return the newline's position.

    Args:
        at: where the line begins.
        last: end of the readable bytes; at least the line's newline lies before it.
        topic: the required topic, in quotes, without a newline.
        symbol: the required symbol, likewise.
        scale: decimals and step of the book's ticks.
        message: out, [7]: as named by the constants above.
        ticks: out, [2, LEVELS]: bids and asks as ticks.
        sizes: out, [2, LEVELS].

    Returns:
        The newline's position, or REFUSED for a line of another shape or with prices that are not
        whole ticks.
    """
    message[LOW], message[HIGH] = NO_LOW, NO_HIGH
    seen = 0
    at = past(at, OPEN)
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
            at, message[TS] = integer(at)
        elif key == KEY_CTS:
            at, _ = integer(at)
        elif key == KEY_DATA:
            at, inner = _data(at, last, symbol, scale, message, ticks, sizes)
            seen |= inner
        else:
            break
        at = white(at)
        if byte(at) == CLOSE:
            at = white(at + 1)
            return at if byte(at) == NEWLINE and seen & NEEDED == NEEDED else REFUSED
        at = past(at, COMMA)
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
    """Parse the inner object; return the position after it and its keys."""
    seen = 0
    at = past(at, OPEN)
    while at:
        at, key = _key(at)
        if seen & key:
            break
        seen |= key
        if key == KEY_S:
            at = _text(at, symbol)
        elif key == KEY_U:
            at, message[UPDATE_ID] = integer(at)
        elif key == KEY_SEQ:
            at, _ = integer(at)
        elif key == KEY_B:
            at, message[BIDS] = side(at, last, scale, message, ticks[0], sizes[0])
        elif key == KEY_A:
            at, message[ASKS] = side(at, last, scale, message, ticks[1], sizes[1])
        else:
            break
        at = white(at)
        if byte(at) == CLOSE:
            return at + 1, seen
        at = past(at, COMMA)
    return REFUSED, seen


@compiled
def _key(at: int) -> tuple[int, int]:  # noqa: C901 - a table, written out
    """Parse a known key and its colon; return the position after them and its bit, or none."""
    at = past(at, QUOTE)
    first = byte(at)
    key = NO_KEY
    if first == ord("a"):
        at, key = match(at + 1, b'"'), KEY_A
    elif first == ord("b"):
        at, key = match(at + 1, b'"'), KEY_B
    elif first == ord("u"):
        at, key = match(at + 1, b'"'), KEY_U
    elif first == ord("s"):
        if byte(at + 1) == QUOTE:
            at, key = at + 2, KEY_S
        else:
            at, key = match(at + 1, b'eq"'), KEY_SEQ
    elif first == ord("d"):
        at, key = match(at + 1, b'ata"'), KEY_DATA
    elif first == ord("c"):
        at, key = match(at + 1, b'ts"'), KEY_CTS
    elif first == ord("t"):
        second = byte(at + 1)
        if second == ord("s"):
            at, key = match(at + 2, b'"'), KEY_TS
        elif second == ord("y"):
            at, key = match(at + 2, b'pe"'), KEY_TYPE
        else:
            at, key = match(at + 1, b'opic"'), KEY_TOPIC
    return past(at, COLON), key


@compiled
def _type(at: int, message: Integers) -> int:
    at = past(at, QUOTE)
    message[IS_SNAPSHOT] = byte(at) == ord("s")
    if message[IS_SNAPSHOT]:
        return match(at, b'snapshot"')
    return match(at, b'delta"')


@compiled
def _text(at: int, wanted: Bytes) -> int:
    at = white(at)
    for character in wanted:
        if byte(at) != character:
            return REFUSED
        at += 1
    return at
