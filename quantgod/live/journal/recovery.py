"""Prepare a journal's folder at the start: lock it, and clean up after a killed writer."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from quantgod.files import atomic_path
from quantgod.live.journal.notices import JournalError, JournalLocked, JournalNotice, Report
from quantgod.live.journal.segments import QUARANTINE, WAL, parts, sync_folder

_LOCK: Final = "lock"
_SOURCE: Final = "source"
_TAKEN: Final = (errno.EAGAIN, errno.EACCES)


def lock_folder(folder: Path) -> int:
    """Lock the folder for this process; the lock ends with the returned file or the process.

    Raises:
        JournalLocked: if another process (or another journal of this one) holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = (folder / _LOCK).read_text(encoding="ascii", errors="replace").strip()
        os.close(file)
        if error.errno not in _TAKEN:
            raise
        raise JournalLocked(f"{folder} is written by process {holder or 'unknown'}") from None
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return file


def claim(folder: Path, source: str) -> None:
    """Record the source of a folder's rows, or check that it is this one.

    Raises:
        JournalError: if it is another one.
    """
    note = folder / _SOURCE
    if not source:
        return
    if not note.exists():
        with atomic_path(note) as part:
            part.write_text(f"{source}\n", encoding="utf-8")
    found = note.read_text(encoding="utf-8").strip()
    if found != source:
        raise JournalError(
            f"{folder} holds rows of {found}, and these are of {source}: give another folder"
        )


def make_rooms(folder: Path, tables: Iterable[str]) -> None:
    """Create the folders of logs, sealed tables and quarantine."""
    for name in (WAL, QUARANTINE, *tables):
        (folder / name).mkdir(exist_ok=True)
    sync_folder(folder)


def discard_parts(folder: Path, report: Report) -> None:
    """Remove temporary files; their rows are still in a log."""
    for part in parts(folder):
        part.unlink()
        report(JournalNotice("info", "temp_discarded", f"{part.parent.name}/{part.name}"))
