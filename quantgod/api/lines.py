"""Files of one JSON value a line, which several processes may append to."""

from __future__ import annotations

import os
from pathlib import Path


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file of the owner's alone, in one write, and sync it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(opened, line + b"\n")
        os.fsync(opened)
    finally:
        os.close(opened)


def lines_of(path: Path) -> list[bytes]:
    """Return all lines, the last of which a crash may have cut; none without a file."""
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
