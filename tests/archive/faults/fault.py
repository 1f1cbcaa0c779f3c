"""What a fault is: something wrong with one day's archive, done on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

Lines = Iterator[bytes]
"""A day's messages in file order, each with its line end."""

LineFault = Callable[[Lines], Lines]
ArchiveFault = Callable[[Path], list[Path]]


@dataclass(frozen=True)
class Fault:
    """One fault of the archive of one day, counted from the first simulated day.

    `lines` alters the messages before they are packed. `archive` alters the finished zip, and
    returns the files that then stand for the day. `levels` changes the depth from that day on.
    """

    name: str
    day: int = 0
    lines: LineFault | None = None
    archive: ArchiveFault | None = None
    levels: int | None = None

    def on(self, day: int) -> Fault:
        """The same fault on another day."""
        return replace(self, day=day)
