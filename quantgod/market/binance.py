"""Decode order-book events, snapshots and best quotes of Binance USDⓈ-M futures.

Numbers are strings, unknown keys are allowed, and an event may be alone or in the wrapper of a
combined stream (`{"stream": …, "data": …}`). Times are those of the matching engine (`T`), in ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, field

from quantgod.contracts import Level, Market
from quantgod.market.messages import Id, MessageError, Price, Size

MARKET: Final[Market] = "linear"
"""Market of the book that `live` keeps; models of other markets do not answer it."""

Time = Annotated[int, Meta(ge=0, le=4_102_444_800_000)]
"""Milliseconds up to the year 2100: minute bars would be made up to any later time."""


class DepthEvent(msgspec.Struct, tag_field="e", tag="depthUpdate", frozen=True, gc=False):
    """Changes of a book from update `first` to `final`; `previous` is the `final` before it.

    Decoded without conversion: the names on the right are the venue's.
    """

    symbol: str = field(name="s")
    ts: Time = field(name="T")
    first: Id = field(name="U")
    final: Id = field(name="u")
    previous: Id = field(name="pu")
    bids: list[tuple[Price, Size]] = field(name="b")
    asks: list[tuple[Price, Size]] = field(name="a")


class DepthSnapshot(NamedTuple):
    """The best levels of a book at `last_update_id`, best first."""

    last_update_id: int
    ts: int
    bids: list[Level]
    asks: list[Level]


class BestQuote(NamedTuple):
    """Price and size of the best bid and ask at `update_id`."""

    symbol: str
    update_id: int
    bid: Level
    ask: Level


def decode(line: bytes) -> DepthEvent | BestQuote | None:
    """Decode a message of the stream; return None if it is neither depth nor best quote.

    That is another kind of event, an acknowledgement or an error: an object without `data`.

    Raises:
        MessageError: `corrupt_json` (no JSON, or wrong shape), `bad_number` (not numeric, not
            finite, negative, or a price of zero).
    """
    try:
        data = _decode_wrapped(line).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_otherwise(line)
    return _record(data)


def decode_snapshot(body: bytes) -> DepthSnapshot:
    """Decode the response of `GET /fapi/v1/depth`.

    Raises:
        MessageError: as `decode`.
    """
    try:
        read = _decode_snapshot(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refusal(body, error, _decode_loose_snapshot) from None
    return DepthSnapshot(read.lastUpdateId, read.T, read.bids, read.asks)


class _Ticker(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    s: str
    u: Id
    b: Price
    B: Size
    a: Price
    A: Size


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: Id
    T: Time
    bids: list[tuple[Price, Size]]
    asks: list[tuple[Price, Size]]


class _Envelope(msgspec.Struct, gc=False):
    data: DepthEvent | _Ticker


class _Kind(msgspec.Struct):
    e: str = ""


class _EnvelopeKind(msgspec.Struct):
    e: str = ""
    data: _Kind | msgspec.UnsetType = msgspec.UNSET


# These check the shape of a message only, not its numbers.
class _LooseDepth(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    s: str
    T: Any
    U: Any
    u: Any
    pu: Any
    b: list[tuple[Any, Any]]
    a: list[tuple[Any, Any]]


class _LooseTicker(msgspec.Struct, tag_field="e", tag="bookTicker"):
    s: str
    u: Any
    b: Any
    B: Any
    a: Any
    A: Any


class _LooseEnvelope(msgspec.Struct):
    data: _LooseDepth | _LooseTicker


class _LooseSnapshot(msgspec.Struct):
    lastUpdateId: Any
    T: Any
    bids: list[tuple[Any, Any]]
    asks: list[tuple[Any, Any]]


# Not strict: prices and sizes are numbers in strings.
_decode_wrapped = msgspec.json.Decoder(_Envelope, strict=False).decode
_decode_bare = msgspec.json.Decoder(DepthEvent | _Ticker, strict=False).decode
_decode_snapshot = msgspec.json.Decoder(_Snapshot, strict=False).decode
_decode_kind = msgspec.json.Decoder(_EnvelopeKind).decode
_decode_loosely = msgspec.json.Decoder(_LooseEnvelope).decode
_decode_bare_loosely = msgspec.json.Decoder(_LooseDepth | _LooseTicker).decode
_decode_loose_snapshot = msgspec.json.Decoder(_LooseSnapshot).decode


def _record(data: DepthEvent | _Ticker) -> DepthEvent | BestQuote:
    if isinstance(data, DepthEvent):
        return data
    return BestQuote(data.s, data.u, (data.b, data.B), (data.a, data.A))


def _decode_otherwise(line: bytes) -> DepthEvent | BestQuote | None:
    """Decode what is not a valid wrapped message: a bare one, another kind, or an error."""
    try:
        outer = _decode_kind(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError("corrupt_json", str(error)) from None
    is_wrapped = outer.data is not msgspec.UNSET
    kind = outer.data.e if isinstance(outer.data, _Kind) else outer.e
    if kind not in ("depthUpdate", "bookTicker"):
        if is_wrapped and not kind:
            raise MessageError("corrupt_json", "an event was expected in `data`")
        return None
    try:
        return _record(_decode_wrapped(line).data if is_wrapped else _decode_bare(line))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        loosely = _decode_loosely if is_wrapped else _decode_bare_loosely
        raise _refusal(line, error, loosely) from None


def _refusal(
    message: bytes, error: Exception, decode_loosely: Callable[[bytes], object]
) -> MessageError:
    """Find out which reason applies; slow, and only called for refused messages."""
    try:
        decode_loosely(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return MessageError("corrupt_json", str(error))
    return MessageError("bad_number", str(error))
