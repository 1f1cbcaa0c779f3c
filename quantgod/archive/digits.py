"""Numbers from their bytes all at once: eight bytes are one word, and arithmetic does the rest.

A loop over digits makes the processor wait for one byte after another.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quantgod.archive.compiled import inlined, word

ZEROS: Final = np.uint64(0x3030303030303030)
ABOVE_NINE: Final = np.uint64(0x7676767676767676)
HIGH_BITS: Final = np.uint64(0x8080808080808080)
PAIRS: Final = np.uint64(0x00FF00FF00FF00FF)
FOURS: Final = np.uint64(0x0000FFFF0000FFFF)
EIGHTS: Final = np.uint64(0x00000000FFFFFFFF)
BITS_8, BITS_16, BITS_32 = np.uint64(8), np.uint64(16), np.uint64(32)
TEN, HUNDRED, MYRIAD = np.uint64(10), np.uint64(100), np.uint64(10_000)


@inlined
def digits_before(end: int, count: int) -> int:
    """The number whose `count` (1 to 8) digits end before an address; -1 if one is no digit.

    First a test of every byte, then sums of pairs, of fours, of all. The eight bytes before `end`
    must be readable.
    """
    unused = np.uint64(64 - 8 * count)
    digits = ((word(end - 8) ^ ZEROS) >> unused) << unused
    if ((digits + ABOVE_NINE) | digits) & HIGH_BITS:
        return -1
    pairs = (digits * TEN + (digits >> BITS_8)) & PAIRS
    fours = (pairs * HUNDRED + (pairs >> BITS_16)) & FOURS
    return int(np.int64((fours * MYRIAD + (fours >> BITS_32)) & EIGHTS))
