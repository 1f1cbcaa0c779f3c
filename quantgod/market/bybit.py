"""Bybit's order-book messages: a line of an archive, or of its socket, to a `BookUpdate`.

Numbers come as strings. Keys may stand in any order, white space anywhere; unknown keys may pass.
What cannot be read exactly is refused with a reason, never guessed at.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from quantgod.contracts import BookUpdate
from quantgod.market.messages import Id, MessageError, Price, Size

RESTART_ID: Final = 1
"""The `u` with which ids begin anew: of a snapshot, or of a delta where that is missing."""


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


def is_echo(update_id: int, last_id: int, second: int, last_second: int) -> bool:
    """Whether a delta repeats what is known: an old id, in a second that has begun already.

    An old id of a later second, or `u` 1, tells that the venue counts anew, and that a snapshot is
    missing.
    """
    is_restart = update_id == RESTART_ID and last_id > RESTART_ID
    return update_id <= last_id and second <= last_second and not is_restart


class _Data(msgspec.Struct, gc=False):
    s: str
    b: list[tuple[Price, Size]]
    a: list[tuple[Price, Size]]
    u: Id


class _Message(msgspec.Struct, gc=False):
    type: Literal["snapshot", "delta"]
    ts: Id
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
