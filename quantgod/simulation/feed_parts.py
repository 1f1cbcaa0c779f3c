"""Define the parts of the simulated feed: sides, rules, clock, and the text of its lines.

Both sides are stored best first. A bid's key is minus its price in ticks and an ask's key its
price, so that keys rise from the touch outwards on both sides, and the same code works for both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantgod.contracts import Floats, Integers

Bytes = NDArray[np.uint8]
Side = Integers
Random = NDArray[np.uint64]

SIZE_DECIMALS: Final = 3

# The rows of a side. The first three hold a level each column: its key, its size in lots, and the
# number of the message that last changed it; a size of zero is a level that the message in hand
# cancels. FRONT and BACK hold the keys that the message in hand took off either end.
KEY, SIZE, STAMP, NOTES, FRONT, BACK = range(6)

# Places in the row NOTES: the column of the best level, how many levels there are, how many keys
# FRONT and BACK hold.
START, COUNT, TAKEN_FRONT, TAKEN_BACK = range(4)


class Rules(NamedTuple):
    """Parameters of the book: levels per side, mean ticks between levels, sizes in lots."""

    depth: int
    gap: int
    near_lots: float
    deep_lots: float


class Clock(NamedTuple):
    """Message i of the first day is at `start_ms + i * cadence_ms`, less than `jitter_ms` late."""

    start_ms: int
    cadence_ms: int
    jitter_ms: int


class Signs(NamedTuple):
    """What each minute of a path shows, as `PricePath` has it: `shape` and `flow` may be empty."""

    lean: Floats
    shape: Floats
    flow: Floats


class Moment(NamedTuple):
    """What a message shows: the tilt of near levels, and which levels are requoted for it."""

    tilt: float
    is_flow: bool
    is_shape: bool
    shape: float


class Wire(NamedTuple):
    """The fixed parts of a line, and the format of prices and sizes.

    A price is key * `units` / 10**`price_decimals`, a size lots / 10**SIZE_DECIMALS.
    """

    head: Bytes
    middle: Bytes
    data: Bytes
    asks: Bytes
    update: Bytes
    sequence: Bytes
    matched: Bytes
    end: Bytes
    snapshot: Bytes
    delta: Bytes
    type_first: bool
    units: int
    price_decimals: int


class Stamp(NamedTuple):
    """The numbers of one message."""

    ts: int
    matched: int
    update: int
    sequence: int
    message: int
    is_snapshot: bool


def empty_side(depth: int) -> Side:
    """Return a side with room for `depth` levels and for the additions of one message."""
    side = np.zeros((6, 8 * depth), np.int64)
    side[NOTES, START] = 4 * depth
    return side


def wire(symbol: str, levels: int, *, type_first: bool, units: int, price_decimals: int) -> Wire:
    """Return the fixed parts for `symbol`; archives have `type` before or after `ts`."""
    topic = f'{{"topic":"orderbook.{levels}.{symbol}",'
    head = topic + ('"type":"' if type_first else '"ts":')
    middle = '","ts":' if type_first else ',"type":"'
    data = ("" if type_first else '"') + f',"data":{{"s":"{symbol}","b":['
    return Wire(
        head=_bytes(head),
        middle=_bytes(middle),
        data=_bytes(data),
        asks=_bytes('],"a":['),
        update=_bytes('],"u":'),
        sequence=_bytes(',"seq":'),
        matched=_bytes('},"cts":'),
        end=_bytes("}\n"),
        snapshot=_bytes("snapshot"),
        delta=_bytes("delta"),
        type_first=type_first,
        units=units,
        price_decimals=price_decimals,
    )


def _bytes(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)
