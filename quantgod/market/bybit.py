"""Bybit's order-book messages: a line of an archive, or of its socket, to a `BookUpdate`.

Numbers come as strings. Keys may stand in any order, white space anywhere; unknown keys may pass.
What cannot be read exactly is refused with a reason, never guessed at.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from quantgod.contracts import BookUpdate

LARGEST = 1e18
"""Prices and sizes above this are refused: their products would leave the range of a double."""

LARGEST_ID = 2**62

Reason = Literal["corrupt_json", "bad_type", "bad_number", "wrong_symbol", "bad_time"]
"""Why a line was refused; after any of these what it held is lost, and the book with it."""


class MessageError(ValueError):
    """A line that is no usable message; `reason` is the code that counts and reports carry."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason


def decode(line: bytes) -> BookUpdate:
    """Read one message.

    Raises:
        MessageError: `corrupt_json` (no JSON, or not of a message's shape), `bad_type` (neither
            snapshot nor delta), `bad_number` (not numeric, not finite, negative, a price of zero).
    """
    try:
        message = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal(line, error) from None
    data = message.data
    return BookUpdate(data.s, message.ts, message.type == "snapshot", data.u, data.b, data.a)


def depth_of(line: bytes) -> int:
    """Levels a side that the topic (`orderbook.500.BTCUSDT`) promises; 0 if it does not say."""
    try:
        parts = msgspec.json.decode(line, type=_Topic).topic.split(".")
    except msgspec.DecodeError:
        return 0
    known = len(parts) > 1 and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) < 6
    return int(parts[1]) if known else 0


_Price = Annotated[float, Meta(gt=0, le=LARGEST)]
_Size = Annotated[float, Meta(ge=0, le=LARGEST)]
_Id = Annotated[int, Meta(ge=0, le=LARGEST_ID)]


class _Data(msgspec.Struct, gc=False):
    s: str
    b: list[tuple[_Price, _Size]]
    a: list[tuple[_Price, _Size]]
    u: _Id


class _Message(msgspec.Struct, gc=False):
    type: Literal["snapshot", "delta"]
    ts: _Id
    data: _Data


class _LooseData(msgspec.Struct):
    s: str
    b: list[tuple[Any, Any]]
    a: list[tuple[Any, Any]]
    u: Any


class _LooseMessage(msgspec.Struct):
    type: Any
    ts: Any
    data: _LooseData


class _Topic(msgspec.Struct):
    topic: str = ""


# Not strict: prices and sizes are numbers in strings.
_decode = msgspec.json.Decoder(_Message, strict=False).decode
_decode_loosely = msgspec.json.Decoder(_LooseMessage).decode


def _refusal(line: bytes, error: Exception) -> MessageError:
    """Find out which reason applies; slow, and only taken for lines that are refused."""
    try:
        message = _decode_loosely(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return MessageError("corrupt_json", str(error))
    if message.type not in ("snapshot", "delta"):
        return MessageError("bad_type", f"snapshot or delta expected, got {message.type!r}"[:200])
    return MessageError("bad_number", str(error))
