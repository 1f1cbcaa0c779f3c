"""The recorder of `collect`: raw messages, and the best levels at equal steps of exchange time.

What it records can be driven again, trained on (`steps.archive_recording`), and read at any time
(`journal.read_table`), also by another process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import pyarrow as pa

from quantgod.contracts import Floats
from quantgod.live.driving import RawKind
from quantgod.live.feed.notices import Notice
from quantgod.live.journal import EVENTS, RAW, Journal, levels_schema
from quantgod.market.book_bars import BookBars, Taken
from quantgod.market.level_sequence import LevelSampler, normalised
from quantgod.market.sync_events import (
    Applied,
    Event,
    NeedSnapshot,
    OutOfSync,
    Synced,
    Widened,
)
from quantgod.settings import CollectSettings

_KINDS: Final[dict[type[Event], str]] = {
    Synced: "synced",
    Widened: "widened",
    OutOfSync: "out_of_sync",
    NeedSnapshot: "need_snapshot",
}


def recording_tables(settings: CollectSettings) -> dict[str, pa.Schema]:
    """The tables of a recording: RAW, LEVELS and EVENTS."""
    return {"RAW": RAW, "LEVELS": levels_schema(settings.levels), "EVENTS": EVENTS}


class Recorder:
    """Listens to a feed and writes what it hears into a journal.

    A recording begins each symbol with a `closed`, so that a book of an earlier session ends there.
    Where raw messages had to be dropped (a disk that was full for long), `closed`, `opened` and a
    snapshot made of the book as it stands come before the next one that is written: so a recording
    can be driven from there on although the feed asked for no snapshot.

    Args:
        journal: With the tables of `recording_tables`.
        books: The books that the feed feeds.
        settings: Levels, interval and length of a sequence.
    """

    def __init__(
        self, journal: Journal, books: Mapping[str, BookBars], settings: CollectSettings
    ) -> None:
        self._journal = journal
        self._symbols = {symbol: _Symbol(bars, settings) for symbol, bars in books.items()}
        for symbol in books:
            self._write_raw(symbol, "closed", time.time_ns(), b"")

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        """Record a message that is about to be given to the book."""
        state = self._symbols[symbol]
        state.received_ns = received_ns
        if state.has_hole:
            state.has_hole = not self._mend(symbol, state)
        if not self._write_raw(symbol, kind, received_ns, data):
            state.has_hole = True

    def taken(self, symbol: str, taken: Taken, received: float) -> None:
        """Record what came of it: levels of intervals that ended, gaps and resyncs."""
        state = self._symbols[symbol]
        for ts, levels in state.sample(taken.events):
            self._journal.append("LEVELS", {"ts": ts, "symbol": symbol, "levels": levels})
        for event in taken.events:
            if (kind := _KINDS.get(type(event))) is not None:
                self._write_event(symbol, state, kind, event)

    def notice(self, notice: Notice) -> None:
        """Record what happened to a connection or a request."""
        received = max((state.received_ns for state in self._symbols.values()), default=0)
        row = {"received_ns": received, "ts_ms": None, "symbol": ",".join(notice.symbols)}
        self._journal.append(
            "EVENTS", {**row, "kind": "feed", "code": notice.code, "detail": notice.text}
        )

    def get_latest_sequence(self, symbol: str) -> Floats | None:
        """The newest intervals as a model takes them, (sequence, levels, 4), oldest first.

        The last axis is bid price, bid size, ask price, ask size, by
        `market.level_sequence.normalised`. `None` until the book stood through so many intervals in
        a row and showed all levels.

        Raises:
            KeyError: for a symbol that is not recorded.
        """
        sequence = self._symbols[symbol].sampler.sequence()
        return None if sequence is None else normalised(sequence)

    def _write_raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> bool:
        row = {"received_ns": received_ns, "symbol": symbol, "kind": kind, "data": data}
        return self._journal.append("RAW", row)

    def _mend(self, symbol: str, state: _Symbol) -> bool:
        """Let the recording begin anew; False where there is no book yet, or still no room."""
        start = state.start()
        return bool(start) and all(
            self._write_raw(symbol, kind, state.received_ns, data) for kind, data in start
        )

    def _write_event(self, symbol: str, state: _Symbol, kind: str, event: Any) -> None:
        is_change = isinstance(event, Synced | Widened)
        row = {"received_ns": state.received_ns, "ts_ms": state.ts, "symbol": symbol, "kind": kind}
        code = "" if is_change else event.reason
        detail = event.detail if isinstance(event, OutOfSync) else ""
        self._journal.append("EVENTS", {**row, "code": code, "detail": detail})


class _Symbol:
    """What is known of one symbol."""

    def __init__(self, bars: BookBars, settings: CollectSettings) -> None:
        self.sampler = LevelSampler(
            settings.levels,
            settings.interval_ms,
            settings.sequence,
            bars.bars.max_silence_seconds,
        )
        self.ts: int | None = None
        self.received_ns = 0
        self.has_hole = False
        self._bars = bars

    def sample(self, events: list[Event]) -> Iterator[tuple[int, Floats]]:
        """Give the intervals that ended with these events."""
        book = self._bars.book
        for event in events:
            if isinstance(event, OutOfSync):
                self.sampler.lose()
            elif isinstance(event, Applied | Synced | Widened):
                self.ts = event.update.ts
                if book is not None:
                    yield from self.sampler.take(self.ts, book)

    def start(self) -> list[tuple[RawKind, bytes]]:
        """What brings a fresh book to where this one is; nothing while there is none."""
        book = self._bars.book
        if book is None or self.ts is None:
            return []
        bids, asks = book.top()
        last = self._bars.sync.last_update_id
        snapshot = _Snapshot(last, self.ts, _texts(bids), _texts(asks))
        return [("closed", b""), ("opened", b""), ("snapshot", msgspec.json.encode(snapshot))]


class _Snapshot(msgspec.Struct):
    """As the venue would have answered."""

    lastUpdateId: int
    T: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


def _texts(levels: list[tuple[float, float]]) -> list[tuple[str, str]]:
    return [(repr(price), repr(size)) for price, size in levels]
