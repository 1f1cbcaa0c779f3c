"""Decoded messages of an order book, and what a network sees of it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

Level = tuple[float, float]
"""Price and size; a size of zero removes the level."""


# Creating a struct takes a quarter of a named tuple's time, and each message creates several.
class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """One decoded order-book message of any venue: a whole book or changes to it.

    `ts` is exchange time in ms. `update_id` is the id of the last change the message holds.
    """

    symbol: str
    ts: int
    is_snapshot: bool
    update_id: int
    bids: list[Level]
    asks: list[Level]


class BookShape(NamedTuple):
    """What a network sees of the book at a minute's close: the last snapshots before it.

    Attributes:
        snapshots: how many; the last one is the book at the close.
        levels: best levels a side.
        interval_ms: time between two snapshots.
    """

    snapshots: int
    levels: int
    interval_ms: int

    def in_words(self) -> str:
        """Return it in words.

        >>> BookShape(100, 20, 100).in_words()
        '100 snapshots of 20 levels a side, 100 ms apart'
        """
        each = f"{self.levels} levels a side"
        return f"{self.snapshots} snapshots of {each}, {self.interval_ms} ms apart"
