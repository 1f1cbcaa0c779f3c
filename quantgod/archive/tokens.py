"""Parse the tokens of a line byte by byte: white space, punctuation, numbers.

Positions are addresses. Every line ends with a newline, which no token contains, so there are no
checks for the end of the buffer. A refusal is position 0, where `byte` also sees a newline, so that
it propagates.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.archive.compiled import byte, compiled, inlined

REFUSED: Final = 0
NO_DECIMAL: Final = (REFUSED, 0, 0, 0)
NO_INTEGER: Final = (REFUSED, 0)

LARGEST_MANTISSA: Final = 2**53
"""A smaller mantissa divided by a power of ten up to 10^22 is rounded only once, so correctly."""

LARGEST_DIGITS: Final = 18
POWERS: Final = np.array([10**k for k in range(LARGEST_DIGITS + 1)], dtype=np.int64)

QUOTE, COMMA, COLON, OPEN, CLOSE, LEFT, RIGHT, POINT, ZERO = (
    ord(character) for character in '",:{}[].0'
)
SPACE, TAB, RETURN = (ord(character) for character in " \t\r")


@inlined
def decimal(at: int) -> tuple[int, int, int, int]:
    """Parse a decimal up to its quote: position, mantissa, digits before the point, decimals.

    Signs, exponents and leading zeros are refused.
    """
    whole, digits = run_of_digits(at)
    if digits != 1 and (digits == 0 or byte(at) == ZERO):
        return NO_DECIMAL
    at += digits
    fraction, decimals = 0, 0
    if byte(at) == POINT:
        fraction, decimals = run_of_digits(at + 1)
        if decimals == 0:
            return NO_DECIMAL
        at += 1 + decimals
    if byte(at) != QUOTE or digits + decimals > LARGEST_DIGITS:
        return NO_DECIMAL
    mantissa = whole * POWERS[decimals] + fraction
    if mantissa >= LARGEST_MANTISSA:
        return NO_DECIMAL
    return at + 1, mantissa, digits, decimals


@compiled
def integer(at: int) -> tuple[int, int]:
    """Parse an unsigned integer: position after it and value. The caller checks what follows."""
    at = white(at)
    value, digits = run_of_digits(at)
    if digits == 0 or digits > LARGEST_DIGITS or (digits > 1 and byte(at) == ZERO):
        return NO_INTEGER
    return at + digits, value


@inlined
def run_of_digits(at: int) -> tuple[int, int]:
    """Parse the number at a position: value and number of digits; it overflows beyond 18."""
    first = at
    value = 0
    digit = byte(at) - ZERO
    while 0 <= digit <= 9:
        value = value * 10 + digit
        at += 1
        digit = byte(at) - ZERO
    return value, at - first


@compiled
def match(at: int, wanted: bytes) -> int:
    """Return the position after these exact bytes."""
    for character in wanted:
        if byte(at) != character:
            return REFUSED
        at += 1
    return at


@inlined
def past(at: int, character: int) -> int:
    """Return the position after optional white space and `character`."""
    if byte(at) != character:
        at = white(at)
        if byte(at) != character:
            return REFUSED
    return at + 1


@inlined
def white(at: int) -> int:
    """Return the first position from `at` without white space."""
    while byte(at) == SPACE or byte(at) == TAB or byte(at) == RETURN:
        at += 1
    return at
