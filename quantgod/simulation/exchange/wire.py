"""Write the exchange's messages in the venue's JSON, and WebSocket frames."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from quantgod.contracts import Level
from quantgod.market.binance import DepthSnapshot
from quantgod.simulation.exchange.truth import TrueEvent

EVENT_LAG_MS = 5
"""`E`, the time of sending, lies up to this much after `T`, the time of the event."""


def depth_event(event: TrueEvent, step_ms: int = 0) -> bytes:
    """Return the `depthUpdate` of an event; `step_ms` is the error of the exchange's clock."""
    change = event.change
    happened = change.ts + step_ms
    return b'{"e":"depthUpdate","E":%d,"T":%d,"s":"%s","U":%d,"u":%d,"pu":%d,%s}' % (
        happened + change.final % EVENT_LAG_MS,
        happened,
        change.symbol.encode(),
        change.first,
        change.final,
        change.previous,
        event.sides,
    )


def in_stream(stream: bytes, data: bytes) -> bytes:
    """Return data in the wrapper of a combined stream."""
    return b'{"stream":"%s","data":%s}' % (stream, data)


def depth_snapshot(snapshot: DepthSnapshot, now: int, step_ms: int = 0) -> bytes:
    """Return the body of `GET /fapi/v1/depth`; `now` is exchange time in ms."""
    return b'{"lastUpdateId":%d,"E":%d,"T":%d,"bids":%s,"asks":%s}' % (
        snapshot.last_update_id,
        now + step_ms,
        snapshot.ts + step_ms,
        levels(snapshot.bids),
        levels(snapshot.asks),
    )


def sides(bids: Iterable[Level], asks: Iterable[Level]) -> bytes:
    """Return the levels of an event as JSON."""
    return b'"b":%s,"a":%s' % (levels(bids), levels(asks))


def levels(side: Iterable[Level]) -> bytes:
    """Return a side as pairs of strings that read back as the same doubles."""
    pairs = list(side)
    text = ",".join(['["%r","%r"]' % pair for pair in pairs])  # noqa: UP031 - half the time
    if "e" in text:  # the venue writes no exponents
        text = ",".join([f'["{_number(price)}","{_number(size)}"]' for price, size in pairs])
    return f"[{text}]".encode()


def refusal(code: int, text: str) -> bytes:
    """Return an error in the venue's format."""
    return _json({"code": code, "msg": text})


def answer(request_id: Any, result: Any = None) -> bytes:
    """Return the acknowledgement of a request over the socket."""
    return _json({"result": result, "id": request_id})


def unanswerable(request_id: Any, text: str) -> bytes:
    """Return the answer to an invalid request over the socket."""
    return _json({"error": {"code": 2, "msg": f"Invalid request: {text}"}, "id": request_id})


def fragments(payload: bytes, parts: int) -> list[bytes]:
    """Return a text message as `parts` WebSocket frames (RFC 6455 section 5.4)."""
    size = -(-len(payload) // parts)
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(pieces) - 1
    return [_frame(piece, first=i == 0, final=i == last) for i, piece in enumerate(pieces)]


def ping_frame(payload: bytes) -> bytes:
    """Return a ping frame with up to 125 bytes."""
    return b"\x89" + bytes([len(payload)]) + payload


def _frame(piece: bytes, *, first: bool, final: bool) -> bytes:
    """Return one unmasked frame: text, or its continuation."""
    head = bytes([(0x80 if final else 0) | (0x1 if first else 0x0)])
    size = len(piece)
    if size < 126:
        return head + bytes([size]) + piece
    if size < 1 << 16:
        return head + b"\x7e" + size.to_bytes(2, "big") + piece
    return head + b"\x7f" + size.to_bytes(8, "big") + piece


def _number(value: float) -> str:
    return np.format_float_positional(value, trim="0")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
