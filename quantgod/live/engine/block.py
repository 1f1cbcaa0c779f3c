"""What a network of the book sees of a closed minute, or why it cannot be asked."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from quantgod.contracts import FEATURES, Floats
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.served.rolling import deviation

RETURN: Final = FEATURES.index("log_ret_close")


class Block(NamedTuple):
    """The snapshots before a minute's close as a version takes them, or what they lack.

    Attributes:
        books: (snapshots, levels, 4) of bid price, bid size, ask price, ask size as the venue gave
            them, oldest snapshot and best level first; None if it is not whole.
        lacks: what is missing, in words; empty if it is whole.
    """

    books: Floats | None
    lacks: str


NO_BLOCK: Final = Block(None, "")
"""That of a version which does not look at the book."""


def block_of(snapshots: Floats | None) -> Block:
    """Return what a version sees of a minute's snapshots, as `ClosedMinute` has them."""
    if snapshots is None:
        return Block(None, "not every snapshot of the book before its close is known")
    count, _, levels, _ = snapshots.shape
    books = snapshots.transpose(0, 2, 1, 3).reshape(count, levels, 4)
    thin = np.count_nonzero(~np.isfinite(books).all(axis=(1, 2)))
    if thin:
        text = f"{thin} of {count} snapshots of the book have fewer than {levels} levels a side"
        return Block(None, text)
    return Block(books, "")


def stillness(features: Floats) -> str:
    """Return what a window lacks whose last closes are equal: a book is scaled by their moves.

    Args:
        features: (rows, 9 or more), oldest first.
    """
    moves = deviation(features[-VOLATILITY_ROWS:, RETURN], VOLATILITY_ROWS)[-1]
    return f"its last {VOLATILITY_ROWS} closes are equal" if moves == 0 else ""
