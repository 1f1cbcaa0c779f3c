"""Read a symbol's recorded messages in order of arrival, from a text file or from `collect`.

A text file (plain or gzip) has one message per line: the receive time in ns, a space, the original
JSON. Snapshots from REST are among the messages of the stream.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import is_zipfile

from quantgod.live.driving import RawKind, StreamMessage, drive, read, take
from quantgod.live.journal import JournalError
from quantgod.live.journal.reader import read_batches
from quantgod.live.recording.foreign import EXPECTED, what_came
from quantgod.market.binance import BestQuote, DepthEvent, decode_snapshot
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.messages import MessageError
from quantgod.settings import command

LINE_BYTES: Final = 16_000_000
"""Maximal length of a message's line."""

SEARCHED: Final = 100_000
"""Number of first messages in which a text file must have a depth event."""

PRICED: Final = 5_000
"""Number of first messages from which the symbols of a text file are determined."""

_COLUMNS: Final = ("received_ns", "symbol", "kind", "data")
_GZIP: Final = b"\x1f\x8b"


class RecordingError(ValueError):
    """A recording cannot be replayed; names it, what came and what was expected."""


class Arrival(NamedTuple):
    """One arrival, with its local time."""

    kind: RawKind
    received_ns: int
    data: bytes


@dataclass
class Recording:
    """One symbol's arrivals.

    `has_answers`: all requested snapshots are included, and no other symbols, as in a folder of
    `collect`. A text file may have several symbols; a snapshot does not name its symbol, so it is
    assigned to the one with the nearest of `prices`.
    """

    path: Path
    symbol: str
    arrivals: Iterator[Arrival]
    has_answers: bool
    prices: dict[str, float] = field(default_factory=dict)

    def read(self, arrival: Arrival) -> StreamMessage:
        """Decode a message of the stream; None also for another symbol's message."""
        message = read(arrival.data)
        if self.has_answers or not isinstance(message, DepthEvent | BestQuote):
            return message
        if len(self.prices) > 1 and isinstance(message, DepthEvent):
            self.prices |= _price(message)
        return message if message.symbol == self.symbol else None

    def drive(self, bars: BookBars, arrival: Arrival) -> Effect:
        """Let `bars` take an arrival of the symbol."""
        if arrival.kind == "stream":
            return take(bars, self.read(arrival))
        if arrival.kind == "snapshot" and self._is_of_another(arrival.data):
            return Effect([], [])
        return drive(bars, arrival.kind, arrival.data)

    def _is_of_another(self, snapshot: bytes) -> bool:
        if len(self.prices) < 2:
            return False
        try:
            best = decode_snapshot(snapshot).bids[:1]
        except MessageError:
            return False
        distance = {
            symbol: abs(math.log(price / known))
            for price, _ in best
            for symbol, known in self.prices.items()
        }
        return bool(distance) and min(distance, key=distance.__getitem__) != self.symbol


def open_recording(path: Path, symbol: str | None = None) -> Recording:
    """Open a text file, or a folder of `collect`.

    Args:
        path: the file or folder.
        symbol: of the messages; default is the only one.

    Raises:
        RecordingError: if there is no such recording, it has a wrong format, or lacks the symbol;
            also later, while `arrivals` are read, for lines of a wrong format.
    """
    if path.is_dir():
        return _collected(path, symbol)
    if not path.is_file():
        raise RecordingError(f"{path}: a recorded file or a folder of `collect` was expected")
    if is_zipfile(path):
        raise RecordingError(
            f"{path}: a zip, as archives of days are; a recorded file or a folder of `collect` was "
            f"expected. Bars of archives are made by `{command('etl')}`"
        )
    arrivals = _lines(path)
    found, read = _first_symbol(path, symbol, arrivals)
    return Recording(
        path, symbol or found, chain(read, arrivals), has_answers=False, prices=_prices(path)
    )


def no_events(path: Path, symbol: str | None) -> RecordingError:
    """Return the error for a recording without depth events (of `symbol`), naming what it has."""
    arrivals = _rows(path, symbol) if path.is_dir() else _lines(path)
    first = islice((one.data for one in arrivals if one.kind in ("stream", "snapshot")), SEARCHED)
    of = f" of {symbol}" if symbol else ""
    return RecordingError(f"{path}: no depth event{of}, but {what_came(first)}; {EXPECTED}")


def _first_symbol(
    path: Path, symbol: str | None, arrivals: Iterator[Arrival]
) -> tuple[str, list[Arrival]]:
    read = []
    for arrival in islice(arrivals, SEARCHED):
        read.append(arrival)
        if found := _depth_symbol(arrival):
            return found, read
    raise no_events(path, symbol)


def _prices(path: Path) -> dict[str, float]:
    """Return the approximate price of each symbol, from a text file's first depth events."""
    prices: dict[str, float] = {}
    for arrival in islice(_lines(path), PRICED):
        message = read(arrival.data) if arrival.kind == "stream" else None
        if isinstance(message, DepthEvent):
            prices |= _price(message)
    return prices


def _price(event: DepthEvent) -> dict[str, float]:
    """Return the symbol's price from the best changed bid, if any."""
    return {event.symbol: max(event.bids)[0]} if event.bids else {}


def _depth_symbol(arrival: Arrival) -> str | None:
    """Return the symbol of a depth event; None for other messages."""
    message = read(arrival.data) if arrival.kind == "stream" else None
    return message.symbol if isinstance(message, DepthEvent) else None


def _lines(path: Path) -> Iterator[Arrival]:
    number, last_ns = 0, 0
    try:
        with _opened(path) as source:
            while line := source.readline(LINE_BYTES):
                number += 1
                if line.isspace():
                    continue
                arrival = _arrival(line, f"{path}, line {number}")
                if not last_ns:
                    yield Arrival("opened", arrival.received_ns, b"")
                last_ns = arrival.received_ns
                yield arrival
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: unreadable after line {number}: {error}") from None


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    with path.open("rb") as source:
        is_packed = source.read(len(_GZIP)) == _GZIP
    return gzip.GzipFile(path) if is_packed else path.open("rb")


def _arrival(line: bytes, place: str) -> Arrival:
    stamp, _, data = line.partition(b" ")
    if not (stamp.isdigit() and len(stamp) <= 19 and data):
        expected = "receive time in ns, a space and JSON expected"
        raise RecordingError(f"{place}: {expected}, got {line[:60]!r}")
    if len(line) >= LINE_BYTES:
        raise RecordingError(f"{place}: {LINE_BYTES} bytes and no end of the line")
    data = data.strip()
    # A stream's messages start with their own keys; a snapshot starts with its id.
    kind: RawKind = "snapshot" if b'"lastUpdateId"' in data[:40] else "stream"
    return Arrival(kind, int(stamp), data)


def _collected(folder: Path, symbol: str | None) -> Recording:
    symbols = recorded_symbols(folder)
    if symbol is None and len(symbols) == 1:
        symbol = symbols[0]
    if symbol not in symbols:
        wanted = symbol or "one symbol"
        raise RecordingError(
            f"{folder}: {wanted} expected, there is {', '.join(symbols) or 'none'}"
        )
    return Recording(folder, symbol, _rows(folder, symbol), has_answers=True)


def recorded_symbols(folder: Path) -> list[str]:
    """Return the symbols of a folder of `collect`, or of a text file's depth events.

    Raises:
        RecordingError: if it cannot be read.
    """
    if not folder.is_dir():
        symbols = {_depth_symbol(arrival) for arrival in _lines(folder)}
        return sorted(symbol for symbol in symbols if symbol)
    found: set[str] = set()
    try:
        for batch in read_batches(folder, "RAW", ["symbol"]):
            found.update(batch.column("symbol").unique().to_pylist())
    except JournalError as error:
        raise RecordingError(f"{folder}: {error}") from None
    return sorted(found)


def _rows(folder: Path, symbol: str | None) -> Iterator[Arrival]:
    try:
        for batch in read_batches(folder, "RAW", _COLUMNS):
            columns = (batch.column(name).to_pylist() for name in _COLUMNS)
            for received_ns, whose, kind, data in zip(*columns, strict=True):
                if symbol in (None, whose):
                    yield Arrival(kind, received_ns, data)
    except JournalError as error:
        raise RecordingError(f"{folder}: {error}") from None
