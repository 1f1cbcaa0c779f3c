"""Parse numbers from eight bytes at once, as one word, by arithmetic.

A loop over digits would make the processor wait for each byte, and guess where the digits end.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.archive.compiled import inlined, trailing_zeros, word

ZEROS: Final = np.uint64(0x3030303030303030)
ABOVE_NINE: Final = np.uint64(0x7676767676767676)
HIGH_BITS: Final = np.uint64(0x8080808080808080)
IS_DIGIT: Final = np.uint64(0x1010101010101010)
"""A bit that digits have, but the point and the quote do not."""
PAIRS: Final = np.uint64(0x00FF00FF00FF00FF)
FOURS: Final = np.uint64(0x0000FFFF0000FFFF)
EIGHTS: Final = np.uint64(0x00000000FFFFFFFF)
ONE, NINE, BYTE = np.uint64(1), np.uint64(9), np.uint64(0xFF)
BITS_2, BITS_4, BITS_8, BITS_16, BITS_32 = (np.uint64(n) for n in (2, 4, 8, 16, 32))
TEN, HUNDRED, MYRIAD = np.uint64(10), np.uint64(100), np.uint64(10_000)
POINT: Final = np.uint64(ord(".") ^ ord("0"))


@inlined
def value(digits: int) -> int:
    """Return the number whose digits are these bytes, the last one highest."""
    pairs = (digits * TEN + (digits >> BITS_8)) & PAIRS
    fours = (pairs * HUNDRED + (pairs >> BITS_16)) & FOURS
    return int(np.int64((fours * MYRIAD + (fours >> BITS_32)) & EIGHTS))


@inlined
def short_decimal(at: int) -> tuple[int, int, int]:
    """Parse a plain decimal of at most eight bytes before a quote, without branches.

    The eight bytes from `at` must be readable. Eight bytes without a quote are all used; the caller
    has to check that a quote follows.

    Returns:
        Length, mantissa, and length minus the digits before the point: 0 without a point, else the
        decimals plus one. The mantissa is -1 for a sign, an exponent or a leading zero.
    """
    text = word(at)
    quote = ~(text | (text << BITS_2)) & IS_DIGIT  # the quote lacks another bit that a point has
    used = ((quote & (~quote + ONE)) >> BITS_4) - ONE  # every bit where there is no quote
    point = ~text & IS_DIGIT & used
    length = trailing_zeros(quote) >> 3
    whole = trailing_zeros(quote | point) >> 3
    lowest = (point & (~point + ONE)) >> BITS_4
    digits = ((text ^ ZEROS) & used) ^ (lowest * POINT)
    odd = ((digits + ABOVE_NINE + lowest * NINE) | digits) & HIGH_BITS
    before = digits & (lowest - ONE)  # every digit where there is no point
    joined = (digits ^ before) | (before << np.uint64(0 if point == 0 else 8))
    unused = np.uint64(64 - 8 * length) & np.uint64(63)
    is_padded = (whole > 1) & (digits & BYTE == 0)
    is_odd = (odd != 0) | (whole == 0) | (length - whole == 1) | is_padded
    return length, -1 if is_odd else value(joined << unused), length - whole
