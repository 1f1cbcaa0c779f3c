"""A symbol's recorded or arriving bytes into its book and bars: the one way, live and in replay.

What a feed records of a symbol, given to `drive` again in its order, gives the same bars.
"""

from __future__ import annotations

from typing import Literal

from quantgod.market.binance import BestQuote, DepthEvent, DepthSnapshot, decode, decode_snapshot
from quantgod.market.book_bars import BookBars, Taken
from quantgod.market.messages import MessageError

RawKind = Literal["opened", "closed", "stream", "snapshot"]
"""What arrived: a stream opened or ended, a message of it, or the answer to a request."""

StreamMessage = DepthEvent | BestQuote | MessageError | None
"""What a message of the stream says; an error where it cannot be read."""

_NO_LEVELS = DepthSnapshot(0, 0, [], [])


def drive(bars: BookBars, kind: RawKind, data: bytes) -> Taken:
    """Let `bars` take what arrived for its symbol; `data` is empty for `opened` and `closed`.

    A message that cannot be read is refused, and one that is no depth event changes nothing. A
    snapshot that cannot be read is one without levels: it is asked for again.
    """
    if kind == "stream":
        return take(bars, read(data))
    if kind == "snapshot":
        return bars.receive_snapshot(_snapshot(data))
    return bars.connected() if kind == "opened" else bars.disconnected()


def read(data: bytes) -> StreamMessage:
    """Decode a message of the stream."""
    try:
        return decode(data)
    except MessageError as error:
        return error


def take(bars: BookBars, message: StreamMessage) -> Taken:
    """Let `bars` take a decoded message of the stream."""
    if isinstance(message, DepthEvent):
        return bars.receive(message)
    return bars.refuse(message) if isinstance(message, MessageError) else Taken([], [])


def _snapshot(data: bytes) -> DepthSnapshot:
    try:
        return decode_snapshot(data)
    except MessageError:
        return _NO_LEVELS
