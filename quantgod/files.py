"""Write files atomically, list them and compute their digests."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`: renamed to `target` on success, removed on error.

    The bytes are on disk before the rename, so a reader sees the whole old file or the whole new
    one, even after a power cut.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    part.touch(exist_ok=False)  # with the usual mode; mkstemp would allow only the owner
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN and infinities are refused: JSON has none."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    with atomic_path(target) as part:
        part.write_text(text + "\n", encoding="utf-8")


def files_below(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted by name; links are followed.

    A broken link is yielded as it is; a link to a folder above it is not followed.
    """
    yield from _files_below(folder, frozenset())


def _files_below(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    if (here := (status.st_dev, status.st_ino)) in above:
        return
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            yield from _files_below(entry, above | {here})
        else:
            yield entry


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def value_digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value, in hex; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def tree_digest(root: Path, paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names (relative to `root`) and contents of `paths`, sorted."""
    return value_digest({str(path.relative_to(root)): file_digest(path) for path in sorted(paths)})
