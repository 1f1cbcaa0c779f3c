"""Describe messages of a recording that cannot be replayed, by venue and kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

EXPECTED: Final = (
    "depth events of Binance's USDⓈ-M futures are expected, which carry `pu`: "
    '{"e": "depthUpdate", "T", "s", "U", "u", "pu", "b", "a"}'
)


class _Message(msgspec.Struct):
    e: str = ""
    s: str = ""
    pu: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    topic: str = ""
    lastUpdateId: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Envelope(msgspec.Struct):
    data: _Message


_decode = msgspec.json.Decoder(_Message).decode
_decode_wrapped = msgspec.json.Decoder(_Envelope).decode


def what_came(messages: Iterable[bytes]) -> str:
    """Count messages by kind, most frequent first.

    >>> what_came([b'{"e":"depthUpdate","s":"A","U":1,"u":2,"b":[],"a":[]}', b"what"])
    '1 depth event of a spot market, without `pu`, of A; 1 message that is no JSON'
    """
    kinds = Counter(map(_kind, messages))
    told = [f"{count} {one if count == 1 else many}" for (one, many), count in kinds.most_common()]
    return "; ".join(told) or "no message"


def _kind(message: bytes) -> tuple[str, str]:
    """Return a message's kind in words, in singular and plural."""
    try:
        read = _read(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "message that is no JSON", "messages that are no JSON"
    if read.topic.startswith("orderbook."):
        return _counted("order-book message", f" of Bybit's socket ({read.topic})")
    if read.e == "depthUpdate" and read.pu is msgspec.UNSET:
        return _counted(
            "depth event", f" of a spot market, without `pu`, of {read.s or 'no symbol'}"
        )
    if read.lastUpdateId is not msgspec.UNSET:
        return _counted("snapshot", "")
    if read.e == "depthUpdate":
        return _counted("depth event", f" of {read.s or 'no symbol'}")
    return _counted("other message", f" ({read.e})" if read.e else "")


def _read(message: bytes) -> _Message:
    try:
        inner = _decode_wrapped(message).data
    except msgspec.ValidationError:  # it is not wrapped
        return _decode(message)
    return inner if inner.e else _decode(message)


def _counted(noun: str, rest: str) -> tuple[str, str]:
    return noun + rest, f"{noun}s{rest}"
