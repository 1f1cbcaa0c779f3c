"""Replay a recording through the live path at full speed, make its rows and check its book.

A recorded best quote describes the same book by another channel: at equal `u` it must equal the
book's own, price and size of both sides.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quantgod.archive.store import StoredRows, bars_schema, bars_table, minutes_schema
from quantgod.contracts import Progress, silent
from quantgod.dataset.feature_file import features_table
from quantgod.dataset.feature_table import FeatureMemory, SourceRows
from quantgod.files import atomic_path
from quantgod.live.driving import take
from quantgod.live.engine.block import block_of
from quantgod.live.engine.feature_rows import source_row
from quantgod.live.recording.arrivals import Arrival, Recording, no_events
from quantgod.market.binance import BestQuote, DepthEvent
from quantgod.market.book_bars import BookBars, ClosedMinute, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.messages import MessageError
from quantgod.market.sync_events import Change, Drop, OutOfSync, Sync
from quantgod.served.features import sets
from quantgod.settings import EtlSettings, Settings

BARS_FILE: Final = "bars.parquet"
FEATURES_FILE: Final = "features.parquet"

QUOTES: Final = 100_000
"""Maximal number of best quotes waiting for the event with their `u`; the oldest are dropped."""

_GROUP: Final = 1_440
_TOLD_EVERY: Final = 5_000


def replay(
    recording: Recording, folder: Path, settings: Settings, progress: Progress = silent
) -> dict[str, Any]:
    """Replay a recording through a new book and write its rows to a folder.

    `bars.parquet` has the columns of a stored day, `features.parquet` the 112 features of its rows.

    If the recording lacks the snapshots that the book requests, the price is followed beyond the
    known range (`BinanceBookSync`), and the events there are counted.

    Returns:
        What `Replay.figures` returns.

    Raises:
        RecordingError: if the recording is unreadable; no file is left then.
    """
    sync = BinanceBookSync(
        recording.symbol,
        settings.live.feed.buffer_events,
        beyond_range=not recording.has_answers,
    )
    etl = settings.etl
    limits, shape = (etl.max_silence_seconds, etl.max_bridge_minutes), settings.snapshots.shape
    run = Replay(recording, sync, BookBars(sync, *limits, shape=shape))
    started = time.perf_counter()
    rows = run.rows(progress)
    _write(folder, rows, etl)
    return run.figures(time.perf_counter() - started)


class Replay:
    """One replay with its counts."""

    def __init__(self, recording: Recording, sync: BinanceBookSync, bars: BookBars) -> None:
        self._recording, self._sync, self._bars = recording, sync, bars
        self._messages = self._events = self._applied = self._beyond = 0
        self._is_theirs = False  # a depth event was decoded
        self._dropped: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._synced = 0
        self._minutes: Counter[str] = Counter()
        self._blockless = 0
        self._check = QuoteCheck()

    def rows(self, progress: Progress = silent) -> Iterator[ClosedMinute]:
        """Take all arrivals; yield the minutes with a row.

        Raises:
            RecordingError: at the end, if there was no depth event, which means a wrong symbol or
                file.
        """
        for arrival in _told(self._recording.arrivals, progress):
            yield from self._closed(self._take(arrival))
        yield from self._closed(self._bars.finish())
        if not self._is_theirs:
            raise no_events(self._recording.path, self._sync.symbol)

    def figures(self, seconds: float) -> dict[str, Any]:
        """Return the figures of the replay.

        `events_read` are depth events: `applied`, `dropped` by reason (`no_book` may still be
            applied
        when the snapshot comes), or the one at which the book was `lost`.
        """
        return {
            "symbol": self._sync.symbol,
            "messages_read": self._messages,
            "events_read": self._events,
            "applied": self._applied,
            "applied_beyond_known_range": self._beyond,
            "dropped": dict(sorted(self._dropped.items())),
            "gaps": self._lost["gap"],
            "crossed": self._lost["crossed"],
            "lost": dict(sorted(self._lost.items())),
            "resyncs": max(0, self._synced - 1),
            "best_quote": {"matched": self._check.matched, "compared": self._check.compared},
            "minutes_closed": self._minutes.total(),
            "rows_written": self._minutes[""],
            "rows_without_whole_snapshots": self._blockless,
            "without_row": {why: n for why, n in sorted(self._minutes.items()) if why},
            "seconds": round(seconds, 3),
            "events_per_second": round(self._events / seconds),
            "messages_per_second": round(self._messages / seconds),
        }

    def _take(self, arrival: Arrival) -> Effect:
        self._messages += 1
        if arrival.kind != "stream":
            return self._noted(self._recording.drive(self._bars, arrival))
        message = self._recording.read(arrival)
        if isinstance(message, DepthEvent | MessageError):
            return self._take_event(message)
        if isinstance(message, BestQuote):
            self._check.quote(message, self._bars)
        return Effect([], [])

    def _take_event(self, event: DepthEvent | MessageError) -> Effect:
        self._is_theirs |= isinstance(event, DepthEvent)
        self._events += 1
        taken = self._noted(take(self._bars, event))
        if any(isinstance(each, Change | Sync) for each in taken.events):
            self._applied += 1
            self._beyond += self._is_beyond()
        return taken

    def _noted(self, taken: Effect) -> Effect:
        """Count the events, and compare the book with waiting quotes."""
        for event in taken.events:
            if isinstance(event, Drop):
                self._dropped[event.reason] += 1
            elif isinstance(event, OutOfSync):
                self._lost[event.reason] += 1
            self._synced += isinstance(event, Sync)
        self._check.book(self._bars)
        return taken

    def _is_beyond(self) -> bool:
        """Return whether a best price lies outside the range of all snapshots."""
        known, book = self._sync.known_range, self._sync.book
        if known is None or book is None:
            return False
        return book.best_bid < known[0] or book.best_ask > known[1]

    def _closed(self, taken: Effect) -> Iterator[ClosedMinute]:
        for minute in taken.closed:
            self._minutes[minute.bar.reason] += 1
            if minute.bar.features is not None:
                self._blockless += block_of(minute.snapshots).books is None
                yield minute


class QuoteCheck:
    """Compares best quotes with the book of the same `u`, whichever comes first."""

    def __init__(self) -> None:
        self.matched = self.compared = 0
        self._waiting: deque[BestQuote] = deque(maxlen=QUOTES)

    def quote(self, quote: BestQuote, bars: BookBars) -> None:
        """Take a quote; it waits if the book is not there yet."""
        if quote.update_id > bars.sync.last_update_id:
            self._waiting.append(quote)
        elif quote.update_id == bars.sync.last_update_id:
            self._compare(quote, bars)

    def book(self, bars: BookBars) -> None:
        """Compare a changed book with waiting quotes."""
        last = bars.sync.last_update_id
        while self._waiting and self._waiting[0].update_id <= last:
            quote = self._waiting.popleft()
            if quote.update_id == last:
                self._compare(quote, bars)

    def _compare(self, quote: BestQuote, bars: BookBars) -> None:
        book = bars.book
        if book is None:
            return
        (bids, asks) = book.top(1)
        self.compared += 1
        self.matched += (bids, asks) == ([quote.bid], [quote.ask])


def _told(arrivals: Iterator[Arrival], progress: Progress) -> Iterator[Arrival]:
    number = 0
    for number, arrival in enumerate(arrivals, 1):
        yield arrival
        if number % _TOLD_EVERY == 0:
            progress(number, 0, "messages")
    progress(number, number, "messages")


def _write(folder: Path, minutes: Iterator[ClosedMinute], etl: EtlSettings) -> None:
    """Write rows and their features, one day at a time, to files that appear atomically."""
    memory = FeatureMemory(etl.max_bridge_minutes)
    with (
        _writer(folder / BARS_FILE, bars_schema(), etl.compression) as bars,
        _writer(folder / FEATURES_FILE, minutes_schema(sets.NAMES), etl.compression) as features,
    ):
        for group in iter(lambda: list(islice(minutes, _GROUP)), []):
            rows = _sources(group)
            held = StoredRows(rows.minutes, rows.features, rows.close, rows.book)
            bars.write_table(bars_table(held))
            features.write_table(features_table(rows.minutes, memory.take(rows)))


@contextmanager
def _writer(path: Path, schema: pa.Schema, compression: str) -> Iterator[pq.ParquetWriter]:
    kind = {"compression": compression, "use_dictionary": False}
    with atomic_path(path) as part, pq.ParquetWriter(part, schema, **kind) as writer:
        yield writer


def _sources(minutes: list[ClosedMinute]) -> SourceRows:
    rows = [row for row in map(source_row, minutes) if row is not None]
    return SourceRows(*map(np.concatenate, zip(*rows, strict=True)))
