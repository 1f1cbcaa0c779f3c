"""Play back a recording of Binance as a market, with its events, ids and first snapshot.

A line of the gzipped file is the time of receipt in ns, a space, and JSON: a message of a combined
stream, or the answer to the REST request for depth.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quantgod.market.binance import DepthEvent, DepthSnapshot, decode, decode_snapshot
from quantgod.simulation.exchange.truth import TrueEvent

SNAPSHOT = b'"lastUpdateId"'


class RecordingError(ValueError):
    """The recording cannot be played."""


class RecordedMarket:
    """The depth of one symbol, from the recording's first snapshot on.

    Levels outside the snapshot do not exist until an event adds them.

    Raises:
        RecordingError: if no snapshot follows an event, and while playing, at a gap.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = _payloads(path)
        early = []
        for payload in self._lines:
            if SNAPSHOT in payload[:40]:
                self._opening = decode_snapshot(payload)
                break
            if event := _depth(payload):
                early.append(event)
        else:
            raise RecordingError(f"{path}: a REST snapshot expected, none found")
        if not early:
            raise RecordingError(f"{path}: depth events expected before the snapshot, none found")
        self.symbol = early[0].change.symbol
        self._early = early

    def opening(self) -> DepthSnapshot:
        """Return the recording's snapshot."""
        return self._opening

    def events(self) -> Iterator[TrueEvent]:
        """Yield the events that end at the snapshot's id or later."""
        opened, last = self._opening.last_update_id, -1
        later = (event for payload in self._lines if (event := _depth(payload)))
        for event in itertools.chain(self._early, later):
            change = event.change
            if change.symbol != self.symbol or change.final < opened:
                continue
            if change.previous != last if last >= 0 else change.previous > opened:
                gap = f"{max(last, opened)} to {change.previous}"
                raise RecordingError(f"{self._path}: nothing is recorded of updates {gap}")
            last = change.final
            yield event


def _payloads(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as lines:
        for line in lines:
            yield line.partition(b" ")[2]


class _Sides(msgspec.Struct):
    b: msgspec.Raw
    a: msgspec.Raw


class _Message(msgspec.Struct):
    data: _Sides


_decode_sides = msgspec.json.Decoder(_Message).decode


def _depth(payload: bytes) -> TrueEvent | None:
    """Return the event with unparsed levels; None for other messages."""
    if b'"depthUpdate"' not in payload:
        return None
    change = decode(payload)
    if not isinstance(change, DepthEvent):
        return None
    read = _decode_sides(payload).data
    return TrueEvent(change, b'"b":%b,"a":%b' % (bytes(read.b), bytes(read.a)))
