"""Where the rows of a table stand: numbered segments, each a log and later a sealed Parquet.

    FOLDER/wal/RAW.000003-000001.arrows     a log: session 3, its first segment of RAW
    FOLDER/RAW/000003-000001.parquet        the same segment, sealed
    FOLDER/quarantine/                      what could not be read, each with a reason
    FOLDER/lock                             held by the process that writes
    FOLDER/source                           the exchange that the rows come from

A number is never used twice, so nothing is ever written over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from quantgod.files import atomic_path

WAL: Final = "wal"
QUARANTINE: Final = "quarantine"

_NUMBERS: Final = re.compile(r"(?:([A-Z][A-Z0-9_]*)\.)?(\d{6,})-(\d{6,})\.")
_TABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")


class Segment(NamedTuple):
    """A run of rows of one table; segments of a table sort in the order of its rows."""

    table: str
    session: int
    number: int

    @property
    def name(self) -> str:
        """How files of this segment begin."""
        return f"{self.session:06d}-{self.number:06d}"

    def log(self, folder: Path) -> Path:
        """Where its log stands until it is sealed."""
        return folder / WAL / f"{self.table}.{self.name}.arrows"

    def sealed(self, folder: Path) -> Path:
        """Where its Parquet stands once it is sealed."""
        return folder / self.table / f"{self.name}.parquet"


def logged_segments(folder: Path, table: str | None = None) -> list[Segment]:
    """The segments (of one table or of all) that have a log, in order."""
    found = _parsed(_names(folder / WAL), ".arrows")
    return sorted(segment for segment in found if table in (None, segment.table))


def sealed_segments(folder: Path, table: str) -> list[Segment]:
    """The segments of a table that are sealed, in order."""
    names = (f"{table}.{name}" for name in _names(folder / table))
    return sorted(_parsed(names, ".parquet"))


def tables(folder: Path) -> list[str]:
    """The tables of a journal; they are there from its first moment on, before they have a row."""
    return sorted({*_tables(folder), *(segment.table for segment in logged_segments(folder))})


def next_session(folder: Path) -> int:
    """A session's number that no file of the folder carries."""
    sessions = [segment.session for segment in logged_segments(folder)]
    for table in [*_tables(folder), QUARANTINE]:
        numbers = (_NUMBERS.match(name) for name in _names(folder / table))
        sessions += [int(match[2]) for match in numbers if match]
    return max(sessions, default=0) + 1


def parts(folder: Path) -> list[Path]:
    """What a writer that was killed left half made."""
    rooms = [folder / name for name in [*_tables(folder), QUARANTINE]]
    return sorted(part for room in rooms for part in room.glob(".*.part"))


def set_aside(folder: Path, name: str, content: Path | bytes, reason: str) -> Path:
    """Move a file, or write bytes, into the quarantine under `name`, the reason beside it."""
    room = folder / QUARANTINE
    target = room / name
    with atomic_path(target.with_name(f"{name}.reason.txt")) as part:
        part.write_text(f"{reason}\n", encoding="utf-8")
    if isinstance(content, bytes):
        with atomic_path(target) as part:
            part.write_bytes(content)
    else:
        content.replace(target)
        sync_folder(content.parent)
    sync_folder(room)
    return target


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, as `fsync` does a file's bytes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_table_name(name: str) -> bool:
    """Whether files can be named by it."""
    return _TABLE.fullmatch(name) is not None


def _parsed(names: Iterator[str] | list[str], ending: str) -> Iterator[Segment]:
    for name in names:
        match = _NUMBERS.match(name)
        if match and match[1] and name[match.end() - 1 :] == ending:
            yield Segment(match[1], int(match[2]), int(match[3]))


def _tables(folder: Path) -> list[str]:
    names = _names(folder)
    return [name for name in names if is_table_name(name) and (folder / name).is_dir()]


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
