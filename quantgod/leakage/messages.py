"""Read the day of a cut again from perturbed messages, with the kernel that made the bars.

From the first message at or after the cut, price moves and spreads are doubled and sizes are drawn
at random; times, ids, and the coming and going of levels stay. So the book stays valid, and the
minutes after the cut differ. Minutes up to the cut must have the same bytes: features, close, book.
So must their snapshots, for a network that looks at them.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from quantgod.archive.day_reading import Carry, DayReading
from quantgod.archive.kernel import read_archive
from quantgod.archive.plan import ArchiveFile, Candidate, find_archives, plan_days
from quantgod.archive.snapshots import snapshots_of
from quantgod.archive.source import Quarantine
from quantgod.archive.zip_stream import Archive, lines, open_archive
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import MS_PER_MINUTE, Floats, Integers, Market
from quantgod.leakage.trace import Difference, StageValues, compare, digests_of, rows_of
from quantgod.market.bybit import decode
from quantgod.market.messages import MessageError
from quantgod.settings import EtlSettings, SnapshotSettings

MESSAGE_STAGE: Final = "minute bars"
SNAPSHOT_STAGE: Final = "snapshots of the book"
SIZES: Final = 1024
CHUNK_LINES: Final = 4096
CORRUPT_LINE: Final = b"{"

Message = dict[str, Any]
Levels = list[list[str]]


@dataclass
class RawDays:
    """A symbol's archives, by day.

    Attributes:
        archives: the folder to search.
        market: the venue's market.
        symbol: of the archives.
        settings: how they are read.
        rules: which snapshots are kept, for a network that looks at them.
        complete: whether each cut so far had an archive of its day.
    """

    archives: Path
    market: Market
    symbol: str
    settings: EtlSettings
    rules: SnapshotSettings | None = None
    complete: bool = True
    _days: Mapping[dt.date, tuple[Candidate, ...]] = field(init=False)

    def __post_init__(self) -> None:
        files, _ = find_archives(self.archives, self.market, self.symbol)
        self._days = {day.date: day.candidates for day in plan_days(files, self.settings)}

    def compare(self, cut_ms: int, rng: np.random.Generator) -> dict[str, Difference]:
        """Read the day of the cut twice, original and perturbed, and compare; by stage.

        If the day has several archives, the first readable one is used, as in the etl.
        """
        date = dt.datetime.fromtimestamp(cut_ms / 1000, dt.UTC).date()
        for candidate in self._days.get(date, ()):
            with suppress(Quarantine):
                return self._compare(candidate, cut_ms, rng)
        self.complete = False
        return {MESSAGE_STAGE: Difference(0, 0, None, 0)}

    def _compare(
        self, candidate: Candidate, cut_ms: int, rng: np.random.Generator
    ) -> dict[str, Difference]:
        file = candidate.file
        before = read_archive(file.path, file.symbol, file.date, self.settings)
        with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
            path = Path(folder) / file.path.name
            write_perturbed(file, path, cut_ms, self.settings, rng)
            after = read_archive(path, file.symbol, file.date, self.settings)
            found = {MESSAGE_STAGE: compare(bars_of(before), bars_of(after), cut_ms)}
            if self.rules is not None:
                other = replace(candidate, file=replace(file, path=path))
                ours, theirs = (self._snapshots(of, before.minutes) for of in (candidate, other))
                found[SNAPSHOT_STAGE] = compare(ours, theirs, cut_ms)
        return found

    def _snapshots(self, candidate: Candidate, minutes: Integers) -> StageValues:
        assert self.rules is not None
        day = snapshots_of(candidate, minutes, None, self.settings, self.rules)
        levels = np.where(day.is_there[:, :, None, None, None], day.levels, 0.0)
        known = (day.minutes + 1) * MS_PER_MINUTE
        return rows_of(known, digests_of(day.is_there), digests_of(levels))


def raw_days(
    archives: Path,
    market: Market,
    symbol: str,
    settings: EtlSettings,
    rules: SnapshotSettings | None = None,
) -> RawDays | None:
    """Return the archives below a folder; None if it has none of this market and symbol."""
    if not archives.is_dir() or not find_archives(archives, market, symbol)[0]:
        return None
    return RawDays(archives, market, symbol, settings, rules)


def bars_of(reading: DayReading) -> StageValues:
    """Return each minute's row, known at its close: features, figures of seconds, close, book."""
    known = (reading.minutes + 1) * MS_PER_MINUTE
    return rows_of(known, reading.features, reading.seconds, reading.close, reading.book)


def write_perturbed(
    file: ArchiveFile, path: Path, cut_ms: int, settings: EtlSettings, rng: np.random.Generator
) -> None:
    """Write an archive that is perturbed from the first message at or after the cut.

    Order is that of the file, which is the order of arrival.
    """
    with open_archive(file.path, settings.limits) as archive:
        head = takewhile(lambda line: _time_of(line) < cut_ms, _lines(archive, settings))
        write_zip(path, archive.key.member, _in_chunks(head))
    market = OtherMarket(_state_after(path, file, settings), rng)
    with open_archive(file.path, settings.limits) as archive:
        changed = market.lines(_lines(archive, settings), cut_ms)
        write_zip(path, archive.key.member, _in_chunks(changed))


class OtherMarket:
    """Turns messages into those of another market with the same times, ids and levels.

    Prices p become `2 p - c`: the order of levels stays, and moves and spreads double. The book at
    the cut is replaced by its image, with a snapshot in place of the first message applied to it.
    """

    def __init__(self, state: Carry | None, rng: np.random.Generator) -> None:
        self._book = state if state is not None and state.has_book else None
        self._sizes = [f"{size:.3f}" for size in rng.uniform(0.001, 50.0, SIZES)]
        self._place = 0
        self._shift: float | None = None
        self._digits = 0
        self._images: dict[str, str] = {}
        self._away = float(rng.choice((-1, 1)) * rng.uniform(0.01, 0.03))

    def lines(self, stream: Iterator[bytes], cut_ms: int) -> Iterator[bytes]:
        """Yield lines unchanged before the first one at or after the cut, then their images."""
        is_after = False
        for line in stream:
            is_after = is_after or _time_of(line) >= cut_ms
            message = _decoded(line) if is_after else None
            yield line if message is None else msgspec.json.encode(self._image(message)) + b"\n"

    def _image(self, message: Message) -> Message:
        data = message["data"]
        bids, asks = data["b"], data["a"]
        if message["type"] == "snapshot":
            self._book = None
        elif self._book is not None:
            if data["u"] <= self._book.last_update_id:  # stale: the kernel does not take it
                return message
            if data["u"] == self._book.last_update_id + 1:
                message = message | {"type": "snapshot"}
                bids, asks = _applied(self._book.bids, bids), _applied(self._book.asks, asks)
            self._book = None
        return message | {"data": data | {"b": self._levels(bids), "a": self._levels(asks)}}

    def _levels(self, levels: Levels) -> Levels:
        images, sizes, place, moved = self._images, self._sizes, self._place, []
        for price, size in levels:
            image = images.get(price) or self._image_of(str(price))
            place += 1
            # A removed level stays removed.
            moved.append([image, sizes[place % SIZES] if float(size) else "0"])
        self._place = place
        return moved

    def _image_of(self, text: str) -> str:
        """Return the image of a price, on the same tick; at least one tick."""
        price, decimals = float(text), len(text.partition(".")[2])
        if self._shift is None:
            self._shift, self._digits = round(price * (1 - self._away), decimals), decimals
        digits = max(decimals, self._digits)
        image = f"{max(2 * price - self._shift, 10.0**-digits):.{digits}f}"
        self._images[text] = image
        return image


def _lines(archive: Archive, settings: EtlSettings) -> Iterator[bytes]:
    """Yield lines with their newline; one that is too long becomes a short, equally corrupt one."""
    for line in lines(archive.chunks(), settings.limits.line_bytes):
        yield (CORRUPT_LINE if line is None else line) + b"\n"


def _state_after(path: Path, file: ArchiveFile, settings: EtlSettings) -> Carry | None:
    """Return the kernel's state after an archive's last line; None if it cannot be read."""
    try:
        return read_archive(path, file.symbol, file.date, settings).carry
    except Quarantine:
        return None


def _applied(levels: Floats, changes: Levels) -> Levels:
    """Return a side of the book after a message's changes, in a snapshot's format."""
    text = np.format_float_positional
    side = {price: [text(price), text(size)] for price, size in levels.tolist()}
    for price, size in changes:
        side[float(price)] = [str(price), str(size)]
    return [level for level in side.values() if float(level[1])]


def _decoded(line: bytes) -> Message | None:
    """Decode a line as a message whose levels can be moved; None if the kernel refuses it."""
    try:
        decode(line)
    except MessageError:
        return None
    message: Message = msgspec.json.decode(line)
    return message


# Of a line before the cut only the time is read.
class _Stamp(msgspec.Struct):
    ts: int


_stamp = msgspec.json.Decoder(_Stamp).decode


def _time_of(line: bytes) -> int:
    """Return a message's time; a time before all others if the line has none."""
    try:
        return _stamp(line).ts
    except (msgspec.DecodeError, UnicodeDecodeError):
        return -1


def _in_chunks(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Join lines into larger chunks: deflate is slow on small ones."""
    return (b"".join(batch) for batch in iter(lambda: list(islice(stream, CHUNK_LINES)), []))
