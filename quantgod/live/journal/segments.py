"""Name the segments of tables: each is a log and later a sealed Parquet file.

    FOLDER/wal/RAW.000003-000001.arrows     a log: session 3, its first segment of RAW
    FOLDER/RAW/000003-000001.parquet        the same segment, sealed
    FOLDER/quarantine/                      what could not be read, each with a reason
    FOLDER/lock                             held by the process that writes
    FOLDER/source                           the exchange that the rows come from

Numbers are never reused, so nothing is ever overwritten.
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
    """A part of a table's rows; segments of a table sort in the order of its rows."""

    table: str
    session: int
    number: int

    @property
    def name(self) -> str:
        """Return the start of this segment's file names."""
        return f"{self.session:06d}-{self.number:06d}"

    def log(self, folder: Path) -> Path:
        """Return the path of its log."""
        return folder / WAL / f"{self.table}.{self.name}.arrows"

    def sealed(self, folder: Path) -> Path:
        """Return the path of its sealed Parquet file."""
        return folder / self.table / f"{self.name}.parquet"


def logged_segments(folder: Path, table: str | None = None) -> list[Segment]:
    """Return the segments (of one table or all) that have a log, in order."""
    found = _parsed(_names(folder / WAL), ".arrows")
    return sorted(segment for segment in found if table in (None, segment.table))


def sealed_segments(folder: Path, table: str) -> list[Segment]:
    """Return the sealed segments of a table, in order."""
    names = (f"{table}.{name}" for name in _names(folder / table))
    return sorted(_parsed(names, ".parquet"))


def segments(folder: Path, table: str) -> list[Segment]:
    """Return the segments of a table, logged or sealed, in order.

    Logs are listed first: a segment that is sealed meanwhile is then found twice, and told once.
    """
    logged = logged_segments(folder, table)
    return sorted({*logged, *sealed_segments(folder, table)})


def tables(folder: Path) -> list[str]:
    """Return the tables of a journal, including those without rows."""
    return sorted({*_tables(folder), *(segment.table for segment in logged_segments(folder))})


def next_session(folder: Path) -> int:
    """Return an unused session number."""
    sessions = [segment.session for segment in logged_segments(folder)]
    for table in [*_tables(folder), QUARANTINE]:
        numbers = (_NUMBERS.match(name) for name in _names(folder / table))
        sessions += [int(match[2]) for match in numbers if match]
    return max(sessions, default=0) + 1


def parts(folder: Path) -> list[Path]:
    """Return temporary files left by a killed writer."""
    rooms = [folder / name for name in [*_tables(folder), QUARANTINE]]
    return sorted(part for room in rooms for part in room.glob(".*.part"))


def set_aside(folder: Path, name: str, content: Path | bytes, reason: str) -> Path:
    """Move a file, or write bytes, to the quarantine as `name`, with a file for the reason."""
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
    """Sync a folder's entries to disk, as `fsync` does with a file's bytes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_table_name(name: str) -> bool:
    """Return whether a name is valid for files."""
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
