"""Decode Bybit's order-book messages, from archives or the socket, to `BookUpdate`.

Numbers are strings. Keys may come in any order, white space anywhere; unknown keys are allowed.
A message that cannot be decoded exactly is refused with a reason, never guessed.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from quantgod.contracts import BookUpdate
from quantgod.market.messages import Id, MessageError, Price, Size

RESTART_ID: Final = 1
"""The `u` with which ids restart: in a snapshot, or in a delta if the snapshot is missing."""


def decode(line: bytes) -> BookUpdate:
    """Decode one message.

    Raises:
        MessageError: `corrupt_json` (no JSON, or wrong shape), `bad_type` (neither snapshot nor
            delta), `bad_number` (not numeric, not finite, negative, or a price of zero).
    """
    try:
        message = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal(line, error) from None
    data = message.data
    return BookUpdate(data.s, message.ts, message.type == "snapshot", data.u, data.b, data.a)


def depth_of(line: bytes) -> int:
    """Return the levels per side of the topic (`orderbook.500.BTCUSDT`); 0 if it names none."""
    try:
        parts = msgspec.json.decode(line, type=_Topic).topic.split(".")
    except msgspec.DecodeError:
        return 0
    known = len(parts) > 1 and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) < 6
    return int(parts[1]) if known else 0


def is_echo(update_id: int, last_id: int, second: int, last_second: int) -> bool:
    """Return whether a delta repeats known changes: an old id, in a second already begun.

    An old id in a later second, or `u` 1, means that the venue has restarted its ids and that a
    snapshot is missing.
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
    """Find out which reason applies; slow, and only called for refused lines."""
    try:
        message = _decode_loosely(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return MessageError("corrupt_json", str(error))
    if message.type not in ("snapshot", "delta"):
        return MessageError("bad_type", f"snapshot or delta expected, got {message.type!r}"[:200])
    return MessageError("bad_number", str(error))
