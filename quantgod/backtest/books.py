"""Arrays of recorded books that orders can meet."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.contracts import BOOK_LEVELS, MS_PER_MINUTE, Booleans, Floats, Integers

BID, ASK = 0, 1
PRICE, SIZE = 0, 1

_SIDES: Final = ("bid", "ask")


class Books(NamedTuple):
    """Books in order of time.

    Attributes:
        time_ms: (n,) time from which each book can be met, epoch milliseconds, strictly rising.
        levels: (n, 2, levels, 2) bids and asks, best first, price (quote currency) and size (base);
            an absent level has price NaN and size 0. The order of a minute row's 800 columns.
    """

    time_ms: Integers
    levels: Floats

    @property
    def mid(self) -> Floats:
        """Return the mid prices, (n,)."""
        middle: Floats = self.levels[:, :, 0, PRICE].mean(axis=1)
        return middle

    def between(self, first: int, end: int) -> Books:
        """Return the books at positions `first` to `end` (exclusive)."""
        return Books(self.time_ms[first:end], self.levels[first:end])


def books_of(bars: pd.DataFrame) -> Books:
    """Return the books of minute bars: each is its minute's last state, met from the minute's end.

    Args:
        bars: a UTC index of minutes' starts, and `bid_0_p, bid_0_s, …, ask_0_p, ask_0_s, …` for at
            most 200 levels per side.

    Raises:
        ValueError: for bars without books, bars out of order, or a one-sided book.
    """
    depth = next((k for k in range(BOOK_LEVELS) if f"bid_{k}_p" not in bars), BOOK_LEVELS)
    if not depth or not isinstance(bars.index, pd.DatetimeIndex) or str(bars.index.tz) != "UTC":
        raise ValueError("bars with the columns bid_0_p, bid_0_s, … and a UTC index are needed")
    names = [f"{side}_{k}_{what}" for side in _SIDES for k in range(depth) for what in "ps"]
    levels = bars.loc[:, names].to_numpy(np.float64).reshape(len(bars), 2, depth, 2)
    return checked(Books(bars.index.as_unit("ms").asi8 + MS_PER_MINUTE, levels))


def checked(books: Books) -> Books:
    """Check that books are in order and have two sides, and return them.

    The arrays are C-contiguous and writable, as the compiled code expects.

    Raises:
        ValueError: naming the first bad book.
    """
    if not len(books.time_ms) or (np.diff(books.time_ms) <= 0).any():
        raise ValueError("books are needed, their times strictly rising")
    unsound = np.flatnonzero(~are_sound(books.levels))
    if len(unsound):
        when = pd.Timestamp(int(books.time_ms[unsound[0]]), unit="ms", tz="UTC")
        bid, ask = books.levels[unsound[0], :, 0].tolist()
        raise ValueError(f"the book of {when} has no two sides: bid {bid}, ask {ask}")
    return Books(
        np.require(books.time_ms, np.int64, ["C", "W"]),
        np.require(books.levels, np.float64, ["C", "W"]),
    )


def are_sound(levels: Floats) -> Booleans:
    """Return which books have two sides that do not cross, (n,)."""
    best = levels[:, :, 0]
    two_sided = (best > 0).all(axis=(1, 2))
    sound: Booleans = two_sided & (best[:, ASK, PRICE] > best[:, BID, PRICE])
    return sound
