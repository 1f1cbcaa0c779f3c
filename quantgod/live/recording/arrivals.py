"""What was recorded of a symbol, in the order of its arrival: from a text file or from `collect`.

A text file (plain or gzip) has a message a line: the receive time in ns, a space, the JSON as it
came. Snapshots from REST stand among the messages of the stream.
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

from quantgod.live.driving import RawKind, StreamMessage, drive, read, take
from quantgod.live.journal import JournalError
from quantgod.live.journal.reader import read_batches
from quantgod.live.recording.foreign import EXPECTED, what_came
from quantgod.market.binance import BestQuote, DepthEvent, decode_snapshot
from quantgod.market.book_bars import BookBars, Taken
from quantgod.market.messages import MessageError

LINE_BYTES: Final = 16_000_000
"""A line longer than this is no message."""

SEARCHED: Final = 100_000
"""Messages among which a text file must hold a depth event."""

PRICED: Final = 5_000
"""Messages by which the symbols of a text file are known."""

_COLUMNS: Final = ("received_ns", "symbol", "kind", "data")
_GZIP: Final = b"\x1f\x8b"


class RecordingError(ValueError):
    """A recording that cannot be replayed: which, what came, and what was expected."""


class Arrival(NamedTuple):
    """What arrived, and when by the local clock."""

    kind: RawKind
    received_ns: int
    data: bytes


@dataclass
class Recording:
    """One symbol's arrivals.

    `has_answers`: every snapshot that was asked for is among them, and nothing of other symbols, as
    in the folder of a `collect`. A text file may hold several symbols; a snapshot does not say
    whose it is, but is of the symbol with the nearest of `prices`.
    """

    path: Path
    symbol: str
    arrivals: Iterator[Arrival]
    has_answers: bool
    prices: dict[str, float] = field(default_factory=dict)

    def read(self, arrival: Arrival) -> StreamMessage:
        """Decode a message of the stream; `None` also for one of another symbol of the file."""
        message = read(arrival.data)
        if self.has_answers or not isinstance(message, DepthEvent | BestQuote):
            return message
        if len(self.prices) > 1 and isinstance(message, DepthEvent):
            self.prices |= _price(message)
        return message if message.symbol == self.symbol else None

    def drive(self, bars: BookBars, arrival: Arrival) -> Taken:
        """Let `bars` take what arrived for the symbol."""
        if arrival.kind == "stream":
            return take(bars, self.read(arrival))
        if arrival.kind == "snapshot" and self._is_of_another(arrival.data):
            return Taken([], [])
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
    """Open a text file, or the folder of a `collect`.

    Args:
        path: The file or folder.
        symbol: Whose messages to take; by default the one that is there.

    Raises:
        RecordingError: when there is no such thing, it is not of the form, or it does not hold the
            symbol; later, while `arrivals` are read, for lines that are not of the form.
    """
    if path.is_dir():
        return _collected(path, symbol)
    if not path.is_file():
        raise RecordingError(f"{path}: a recorded file or a folder of `collect` was expected")
    arrivals = _lines(path)
    found, read = _first_symbol(path, symbol, arrivals)
    return Recording(
        path, symbol or found, chain(read, arrivals), has_answers=False, prices=_prices(path)
    )


def no_events(path: Path, symbol: str | None) -> RecordingError:
    """The error of a recording without a depth event (of `symbol`): what there is in its place."""
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
    """About what each symbol costs, by the first depth events of a text file."""
    prices: dict[str, float] = {}
    for arrival in islice(_lines(path), PRICED):
        message = read(arrival.data) if arrival.kind == "stream" else None
        if isinstance(message, DepthEvent):
            prices |= _price(message)
    return prices


def _price(event: DepthEvent) -> dict[str, float]:
    """The symbol's price by the best bid that changed, as far as one did."""
    return {event.symbol: max(event.bids)[0]} if event.bids else {}


def _depth_symbol(arrival: Arrival) -> str | None:
    """Whose depth event it is; `None` where it is none."""
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
    # A stream's messages have their own names first; nothing of a snapshot comes before its id.
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
    """The symbols of which the folder of a `collect` holds messages, or a text file depth events.

    Raises:
        RecordingError: when it cannot be read.
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
