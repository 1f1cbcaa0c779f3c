"""What the exchange writes: events, snapshots, answers, errors in the venue's JSON; frames."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from quantgod.contracts import Level
from quantgod.market.binance import DepthSnapshot
from quantgod.simulation.exchange.truth import TrueEvent

EVENT_LAG_MS = 5
"""`E`, when an event is sent, lies up to this much after `T`, when it happened."""


def depth_event(event: TrueEvent, step_ms: int = 0) -> bytes:
    """The `depthUpdate` of an event; `step_ms` is how far off the exchange's clock is."""
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
    """The wrapper of a combined stream."""
    return b'{"stream":"%s","data":%s}' % (stream, data)


def depth_snapshot(snapshot: DepthSnapshot, now: int, step_ms: int = 0) -> bytes:
    """The body of `GET /fapi/v1/depth`; `now` is exchange time in ms."""
    return b'{"lastUpdateId":%d,"E":%d,"T":%d,"bids":%s,"asks":%s}' % (
        snapshot.last_update_id,
        now + step_ms,
        snapshot.ts + step_ms,
        levels(snapshot.bids),
        levels(snapshot.asks),
    )


def sides(bids: Iterable[Level], asks: Iterable[Level]) -> bytes:
    """The levels of an event."""
    return b'"b":%s,"a":%s' % (levels(bids), levels(asks))


def levels(side: Iterable[Level]) -> bytes:
    """A side as pairs of strings; each reads back as the same double."""
    pairs = list(side)
    text = ",".join(['["%r","%r"]' % pair for pair in pairs])  # noqa: UP031 - half the time
    if "e" in text:  # the venue writes no exponents
        text = ",".join([f'["{_number(price)}","{_number(size)}"]' for price, size in pairs])
    return f"[{text}]".encode()


def refusal(code: int, text: str) -> bytes:
    """An error in the venue's form."""
    return _json({"code": code, "msg": text})


def answer(request_id: Any, result: Any = None) -> bytes:
    """The acknowledgement of a request over the socket."""
    return _json({"result": result, "id": request_id})


def unanswerable(request_id: Any, text: str) -> bytes:
    """What a request over the socket gets that makes no sense."""
    return _json({"error": {"code": 2, "msg": f"Invalid request: {text}"}, "id": request_id})


def fragments(payload: bytes, parts: int) -> list[bytes]:
    """A text message as `parts` WebSocket frames, as RFC 6455 section 5.4 has it."""
    size = -(-len(payload) // parts)
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(pieces) - 1
    return [_frame(piece, first=i == 0, final=i == last) for i, piece in enumerate(pieces)]


def ping_frame(payload: bytes) -> bytes:
    """A ping with up to 125 bytes."""
    return b"\x89" + bytes([len(payload)]) + payload


def _frame(piece: bytes, *, first: bool, final: bool) -> bytes:
    """One unmasked frame: text, or its continuation."""
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
