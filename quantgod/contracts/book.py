"""Decoded messages of an order book."""

from __future__ import annotations

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
