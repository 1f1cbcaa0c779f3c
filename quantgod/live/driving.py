"""Pass a symbol's received or recorded bytes to its book and bars, live and in replay.

A feed's recording of a symbol, passed to `drive` in the same order, gives the same bars.
"""

from __future__ import annotations

from typing import Literal

from quantgod.market.binance import BestQuote, DepthEvent, DepthSnapshot, decode, decode_snapshot
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.messages import MessageError

RawKind = Literal["opened", "closed", "stream", "snapshot"]
"""Kind of arrival: a stream opened or closed, a message of it, or the answer to a request."""

StreamMessage = DepthEvent | BestQuote | MessageError | None
"""A decoded message of the stream; an error if it cannot be decoded."""

_NO_LEVELS = DepthSnapshot(0, 0, [], [])


def drive(bars: BookBars, kind: RawKind, data: bytes) -> Effect:
    """Let `bars` take an arrival of its symbol; `data` is empty for `opened` and `closed`.

    An undecodable message is refused, and one that is not a depth event changes nothing. An
    undecodable snapshot counts as one without levels: it is requested again.
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


def take(bars: BookBars, message: StreamMessage) -> Effect:
    """Let `bars` take a decoded message of the stream."""
    if isinstance(message, DepthEvent):
        return bars.receive(message)
    return bars.refuse(message) if isinstance(message, MessageError) else Effect([], [])


def _snapshot(data: bytes) -> DepthSnapshot:
    try:
        return decode_snapshot(data)
    except MessageError:
        return _NO_LEVELS
