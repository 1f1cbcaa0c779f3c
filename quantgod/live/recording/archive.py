"""Turn a recording into daily archives in Bybit's format, for training on own recordings.

The raw messages go through a book as they did live, and the changes of the book are written: `etl`
then gives the same bars, bit for bit, for the same minutes. A day begins with the whole book, so
that it is self-contained. Times are the venue's; `u` counts the lines of a day.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from quantgod.archive.day_reading import MARGIN_MS
from quantgod.archive.plan import archive_name
from quantgod.archive.source import Quarantine
from quantgod.archive.zip_stream import open_archive
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import MS_PER_DAY, MS_PER_SECOND, BookUpdate, Level, Progress, silent
from quantgod.live.recording.arrivals import Recording, no_events, open_recording, recorded_symbols
from quantgod.market.book_bars import BookBars
from quantgod.market.book_sync import BinanceBookSync
from quantgod.market.minute_kernel import CLOCK
from quantgod.market.sync_events import Change, Event, Extension, OutOfSync, Sync
from quantgod.settings import ArchiveLimits, Settings

IDS_PER_DAY: Final = 1_000_000_000
"""`u` is the day's number times this plus the line's number, so it rises and is unique."""

GAPS: Final = ("gap", "sequence_reset")
"""Losses caused by missing messages."""

DEPTH: Final = 500
"""Depth in names and topics; the lines hold all known levels."""


class RecordingArchiveError(RuntimeError):
    """An existing archive was not made from this recording."""


class Line(NamedTuple):
    """A line of an archive, and the number of its day (since 1970)."""

    day: int
    text: bytes


class RecordingArchive(NamedTuple):
    """The path of a written archive, and its number of lines."""

    path: Path
    lines: int


def archive_recording(
    recording: Path,
    archives: Path,
    settings: Settings,
    symbol: str | None = None,
    progress: Progress = silent,
) -> list[RecordingArchive]:
    """Write the archives `MARKET/SYMBOL/YYYY-MM-DD_SYMBOL_ob500.data.zip` of a recording.

    An existing archive is rewritten if the recording has grown; if its lines are not the first
    lines of the recording's, it is kept and an error is raised.

    Args:
        recording: folder written by `collect` (maybe still growing), or a text file as for
            `replay`.
        archives: folder for the archives.
        settings: the market, the feed's buffer and the rules of `etl`.
        symbol: only this one; default is all.
        progress: called after each day.

    Raises:
        RecordingError: if there is no readable recording (of `symbol`), or it has no depth events.
        RecordingArchiveError: if an existing archive has other content.
    """
    written: list[RecordingArchive] = []
    for one in _recordings(recording, symbol):
        folder = archives / settings.data.market / one.symbol
        for day, lines in groupby(lines_of(one, settings), lambda line: line.day):
            text = (line.text for line in lines)
            written.append(_write_day(folder, one.symbol, day, text, settings.etl.limits))
            progress(len(written), 0, written[-1].path.name)
    if not written:
        raise no_events(recording, symbol)
    return written


def lines_of(recording: Recording, settings: Settings) -> Iterator[Line]:
    """Yield the lines of all archives of a symbol's recording."""
    bars = BookBars(
        BinanceBookSync(
            recording.symbol,
            settings.live.feed.buffer_events,
            beyond_range=not recording.has_answers,
        ),
        settings.etl.max_silence_seconds,
        settings.etl.max_bridge_minutes,
    )
    writer = _LineWriter(recording.symbol, bars)
    for arrival in recording.arrivals:
        yield from writer.lines(recording.drive(bars, arrival).events)


def _recordings(path: Path, symbol: str | None) -> list[Recording]:
    """Return the recordings of the requested symbol, or of all."""
    symbols = [symbol] if symbol or not path.exists() else recorded_symbols(path)
    return [open_recording(path, name) for name in symbols or [None]]


class _LineWriter:
    """Turns events of a book into lines of an archive.

    A loss is a delta without levels whose `u` jumps: it makes a reader withdraw the book and the
    open minute. It is written at the book's withdrawal, and every second until there is a book
    again, so that a reader's clock runs as it did live. If messages were missing, it has the time
    of the last one, because the gap affects that minute too; if not, a delta after it lets the
    reader close that minute first.
    """

    def __init__(self, symbol: str, bars: BookBars) -> None:
        self._symbol = symbol
        self._bars = bars
        self._day = self._id = self._clock = -1  # of the last line; the clock is in seconds

    def lines(self, events: list[Event]) -> Iterator[Line]:
        """Yield the lines of one message's events."""
        losses = [place for place, event in enumerate(events) if isinstance(event, OutOfSync)]
        clock = int(self._bars.bars.integers[CLOCK])
        if clock >= 0:  # else a reader has nothing to withdraw yet
            yield from self._lost(events[losses[0]] if losses else None, clock)
        for event in events[losses[-1] + 1 if losses else 0 :]:
            if isinstance(event, Change | Sync | Extension):
                yield self._change(event.update)
        self._clock = clock

    def _lost(self, loss: Event | None, clock: int) -> Iterator[Line]:
        if loss is not None:
            is_gap = isinstance(loss, OutOfSync) and loss.reason in GAPS
            yield self._tick(self._clock, missing=1) if is_gap else self._tick(clock)
        if loss is not None or (self._bars.book is None and clock > self._clock):
            yield self._tick(clock, missing=1)

    def _tick(self, clock: int, missing: int = 0) -> Line:
        """Return a delta without levels at a second of the reader's clock."""
        self._turn(clock * MS_PER_SECOND)
        self._id += missing
        return self._line(BookUpdate(self._symbol, clock * MS_PER_SECOND, False, 0, [], []))

    def _change(self, update: BookUpdate) -> Line:
        """Return the changes, or the whole present book at the start of a day."""
        clock = int(self._bars.bars.integers[CLOCK]) * MS_PER_SECOND
        if abs(update.ts - clock) >= MS_PER_DAY:  # a time that the bars ignored too
            update = replace(update, ts=clock)
        if self._turn(update.ts):
            bids, asks = self._whole_book()
            update = replace(update, is_snapshot=True, bids=bids, asks=asks)
        return self._line(update)

    def _turn(self, ts: int) -> bool:
        """Return whether a day begins; days never go back, whatever the exchange's clock does."""
        day = ts // MS_PER_DAY
        if day <= self._day:
            return False
        self._day, self._id = day, day * IDS_PER_DAY
        return True

    def _whole_book(self) -> tuple[list[Level], list[Level]]:
        book = self._bars.book
        return book.top() if book is not None else ([], [])

    def _line(self, update: BookUpdate) -> Line:
        self._id += 1
        ts = max(update.ts, self._day * MS_PER_DAY - MARGIN_MS)  # `etl` refuses earlier times
        text = (
            f'{{"topic":"orderbook.{DEPTH}.{self._symbol}",'
            f'"type":"{"snapshot" if update.is_snapshot else "delta"}","ts":{ts},'
            f'"data":{{"s":"{self._symbol}","b":{_levels(update.bids)},"a":{_levels(update.asks)},'
            f'"u":{self._id},"seq":{update.update_id}}},"cts":{ts}}}\n'
        )
        return Line(self._day, text.encode())


def _levels(levels: list[Level]) -> str:
    """Return pairs of decimal numbers that read back as the same doubles."""
    text = ",".join([f'["{price!r}","{size!r}"]' for price, size in levels])
    if "e" in text:  # readers need not support exponents
        text = ",".join([f'["{_decimal(price)}","{_decimal(size)}"]' for price, size in levels])
    return f"[{text}]"


def _decimal(value: float) -> str:
    return np.format_float_positional(value, trim="0")


def _write_day(
    folder: Path, symbol: str, day: int, lines: Iterable[bytes], limits: ArchiveLimits
) -> RecordingArchive:
    date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
    name = archive_name(symbol, date, DEPTH)
    path = folder / f"{name}.zip"
    content = _Continuation(path, limits)
    write_zip(path, name, content.of(lines))
    return RecordingArchive(path, content.lines)


class _Continuation:
    """Passes lines on to a new archive, checking that they begin with those of the old one."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self.lines = 0
        self._path = path
        self._before = _size_and_crc(path, limits)

    def of(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the same lines.

        Raises:
            RecordingArchiveError: at the end, if the old archive's lines are not the first ones.
        """
        size = crc = 0
        goes_on = self._before in (None, (0, 0))
        for line in lines:
            size, crc = size + len(line), zlib.crc32(line, crc)
            goes_on = goes_on or self._before == (size, crc)
            self.lines += 1
            yield line
        if not goes_on:
            raise RecordingArchiveError(
                f"{self._path} holds other lines than this recording: "
                "remove it, or choose another folder"
            )


def _size_and_crc(path: Path, limits: ArchiveLimits) -> tuple[int, int] | None:
    if not path.exists():
        return None
    try:
        with open_archive(path, limits) as archive:
            return archive.key.size, archive.key.crc
    except Quarantine as verdict:
        raise RecordingArchiveError(f"{path} is no archive of a recording: {verdict}") from None
