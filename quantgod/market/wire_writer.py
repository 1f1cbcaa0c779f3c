"""Writes the simulated book as Bybit's NDJSON, compiled: numbers go straight to bytes."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from quantgod.market.simulated_book import COUNT, START, TAKEN_BACK, TAKEN_FRONT, Side

Bytes = NDArray[np.uint8]

_QUOTE, _COMMA, _POINT, _ZERO, _OPEN, _CLOSE = 34, 44, 46, 48, 91, 93


SIZE_DECIMALS: Final = 3


class Wire(NamedTuple):
    """The parts of a line that do not change, and how prices and sizes are written.

    A price is key * `units` / 10**`price_decimals`, a size lots / 10**`size_decimals`.
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
    size_decimals: int


class Stamp(NamedTuple):
    """The numbers of one message."""

    ts: int
    matched: int
    update: int
    sequence: int
    message: int
    is_snapshot: bool


def wire(symbol: str, levels: int, *, type_first: bool, units: int, price_decimals: int) -> Wire:
    """The fixed parts for `symbol`; archives hold `type` before `ts` or after it."""
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
        size_decimals=SIZE_DECIMALS,
    )


def _bytes(text: str) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8)


@njit(cache=True)
def write_message(out: Bytes, at: int, bids: Side, asks: Side, stamp: Stamp, wire: Wire) -> Any:
    """Write one line at `out[at:]`; returns where it ends and how many level changes it holds."""
    kind = wire.snapshot if stamp.is_snapshot else wire.delta
    at = _text(out, at, wire.head)
    if wire.type_first:
        at = _integer(out, _text(out, _text(out, at, kind), wire.middle), stamp.ts)
    else:
        at = _text(out, _text(out, _integer(out, at, stamp.ts), wire.middle), kind)
    at, bid_changes = _levels(out, _text(out, at, wire.data), bids, -1, stamp, wire)
    at, ask_changes = _levels(out, _text(out, at, wire.asks), asks, 1, stamp, wire)
    at = _integer(out, _text(out, at, wire.update), stamp.update)
    at = _integer(out, _text(out, at, wire.sequence), stamp.sequence)
    at = _integer(out, _text(out, at, wire.matched), stamp.matched)
    return _text(out, at, wire.end), bid_changes + ask_changes


@njit(cache=True)
def _levels(out: Bytes, at: int, side: Side, sign: int, stamp: Stamp, wire: Wire) -> Any:
    """The side's changed levels (all of them in a snapshot), best first as the venue has them."""
    notes, begin, changes = side.notes, at, 0
    if not stamp.is_snapshot:
        for i in range(notes[TAKEN_FRONT]):
            at = _level(out, at, sign * side.front[i], 0, wire)
        changes += notes[TAKEN_FRONT]
    for i in range(notes[START], notes[START] + notes[COUNT]):
        if stamp.is_snapshot or side.stamp[i] == stamp.message:
            at = _level(out, at, sign * side.key[i], side.size[i], wire)
            changes += 1
    if not stamp.is_snapshot:
        for i in range(notes[TAKEN_BACK] - 1, -1, -1):
            at = _level(out, at, sign * side.back[i], 0, wire)
        changes += notes[TAKEN_BACK]
    return (at - 1 if at > begin else at), changes  # without the last comma


@njit(cache=True)
def _level(out: Bytes, at: int, ticks: int, lots: int, wire: Wire) -> Any:
    """Write `["price","size"],`; a size of nothing is a bare zero."""
    out[at] = _OPEN
    out[at + 1] = _QUOTE
    at = _decimal(out, at + 2, ticks * wire.units, wire.price_decimals)
    out[at] = _QUOTE
    out[at + 1] = _COMMA
    out[at + 2] = _QUOTE
    if lots == 0:
        out[at + 3] = _ZERO
        at += 4
    else:
        at = _decimal(out, at + 3, lots, wire.size_decimals)
    out[at] = _QUOTE
    out[at + 1] = _CLOSE
    out[at + 2] = _COMMA
    return at + 3


@njit(cache=True)
def _decimal(out: Bytes, at: int, value: int, decimals: int) -> Any:
    scale = 1
    for _ in range(decimals):
        scale *= 10
    whole = value // scale
    rest = value - whole * scale
    at = _integer(out, at, whole)
    if decimals == 0:
        return at
    out[at] = _POINT
    for place in range(at + decimals, at, -1):
        out[place] = _ZERO + rest % 10
        rest //= 10
    return at + decimals + 1


@njit(cache=True)
def _integer(out: Bytes, at: int, value: int) -> Any:
    digits, rest = 1, value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for place in range(at + digits - 1, at - 1, -1):
        out[place] = _ZERO + value % 10
        value //= 10
    return at + digits


@njit(cache=True)
def _text(out: Bytes, at: int, text: Bytes) -> Any:
    for i in range(text.size):
        out[at + i] = text[i]
    return at + text.size
