"""Record raw messages, and the best levels at equal intervals of exchange time.

Recordings can be replayed, trained on (`steps.archive_recording`), and read at any time
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
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.level_sequence import LevelSampler, normalised
from quantgod.market.sync_events import (
    Change,
    Event,
    Extension,
    NeedSnapshot,
    OutOfSync,
    Sync,
)
from quantgod.settings import CollectSettings

_KINDS: Final[dict[type[Event], str]] = {
    Sync: "synced",
    Extension: "widened",
    OutOfSync: "out_of_sync",
    NeedSnapshot: "need_snapshot",
}


def recording_tables(settings: CollectSettings) -> dict[str, pa.Schema]:
    """Return the tables of a recording: RAW, LEVELS and EVENTS."""
    return {"RAW": RAW, "LEVELS": levels_schema(settings.levels), "EVENTS": EVENTS}


class Recorder:
    """Listens to a feed and writes everything to a journal.

    A recording begins each symbol with a `closed`, which ends the book of an earlier session. If
    raw messages were dropped (because the disk was full for long), the next written one is preceded
    by `closed`, `opened` and a snapshot made from the present book: so the recording can be
    replayed from there, although the feed requested no snapshot.

    Args:
        journal: with the tables of `recording_tables`.
        books: of the feed.
        settings: levels, interval and length of a sequence.
    """

    def __init__(
        self, journal: Journal, books: Mapping[str, BookBars], settings: CollectSettings
    ) -> None:
        self._journal = journal
        self._symbols = {symbol: _Symbol(bars, settings) for symbol, bars in books.items()}
        for symbol in books:
            self._write_raw(symbol, "closed", time.time_ns(), b"")

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        """Record a message before the book gets it."""
        state = self._symbols[symbol]
        state.received_ns = received_ns
        if state.has_hole:
            state.has_hole = not self._mend(symbol, state)
        if not self._write_raw(symbol, kind, received_ns, data):
            state.has_hole = True

    def taken(self, symbol: str, taken: Effect, received: float) -> None:
        """Record the result of a message: levels of ended intervals, gaps and resyncs."""
        state = self._symbols[symbol]
        for ts, levels in state.sample(taken.events):
            self._journal.append("LEVELS", {"ts": ts, "symbol": symbol, "levels": levels})
        for event in taken.events:
            if (kind := _KINDS.get(type(event))) is not None:
                self._write_event(symbol, state, kind, event)

    def notice(self, notice: Notice) -> None:
        """Record a notice about a connection or a request."""
        received = max((state.received_ns for state in self._symbols.values()), default=0)
        row = {"received_ns": received, "ts_ms": None, "symbol": ",".join(notice.symbols)}
        self._journal.append(
            "EVENTS", {**row, "kind": "feed", "code": notice.code, "detail": notice.text}
        )

    def get_latest_sequence(self, symbol: str) -> Floats | None:
        """Return the newest intervals for a model, (sequence, levels, 4), oldest first.

        The last axis is bid price, bid size, ask price, ask size, normalised by
        `market.level_sequence.normalised`. None until the book was valid with all levels for that
        many consecutive intervals.

        Raises:
            KeyError: if the symbol is not recorded.
        """
        sequence = self._symbols[symbol].sampler.sequence()
        return None if sequence is None else normalised(sequence)

    def _write_raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> bool:
        row = {"received_ns": received_ns, "symbol": symbol, "kind": kind, "data": data}
        return self._journal.append("RAW", row)

    def _mend(self, symbol: str, state: _Symbol) -> bool:
        """Restart a symbol's recording; return False if there is no book or no room yet."""
        start = state.start()
        return bool(start) and all(
            self._write_raw(symbol, kind, state.received_ns, data) for kind, data in start
        )

    def _write_event(self, symbol: str, state: _Symbol, kind: str, event: Any) -> None:
        is_change = isinstance(event, Sync | Extension)
        row = {"received_ns": state.received_ns, "ts_ms": state.ts, "symbol": symbol, "kind": kind}
        code = "" if is_change else event.reason
        detail = event.detail if isinstance(event, OutOfSync) else ""
        self._journal.append("EVENTS", {**row, "code": code, "detail": detail})


class _Symbol:
    """The state of one symbol."""

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
        """Yield the intervals that ended with these events."""
        book = self._bars.book
        for event in events:
            if isinstance(event, OutOfSync):
                self.sampler.lose()
            elif isinstance(event, Change | Sync | Extension):
                self.ts = event.update.ts
                if book is not None:
                    yield from self.sampler.take(self.ts, book)

    def start(self) -> list[tuple[RawKind, bytes]]:
        """Return messages that bring a new book to this one's state; empty without a book."""
        book = self._bars.book
        if book is None or self.ts is None:
            return []
        bids, asks = book.top()
        last = self._bars.sync.last_update_id
        snapshot = _Snapshot(last, self.ts, _texts(bids), _texts(asks))
        return [("closed", b""), ("opened", b""), ("snapshot", msgspec.json.encode(snapshot))]


class _Snapshot(msgspec.Struct):
    """A snapshot in the venue's format."""

    lastUpdateId: int
    T: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


def _texts(levels: list[tuple[float, float]]) -> list[tuple[str, str]]:
    return [(repr(price), repr(size)) for price, size in levels]
