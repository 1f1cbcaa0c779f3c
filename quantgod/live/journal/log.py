"""Write and read write-ahead logs: Arrow IPC streams of record batches.

Each batch has a checksum of its rows. Reading stops at the first incomplete or damaged batch:
everything before it is valid, even after a power cut during a write.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import ipc

from quantgod.live.journal.notices import UnreadableLog
from quantgod.live.journal.segments import sync_folder

CHECKSUM: Final = "crc32"


class LogWriter:
    """Writes a new log. A failed write leaves the log unchanged."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.size = 0
        self._frames = io.BytesIO()
        self._stream = ipc.new_stream(self._frames, schema)
        self._seed = _schema_checksum(schema)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._open = threading.Lock()  # so that the file is not closed during an fsync
        self._synced_size: int | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Write a batch to the operating system, so that it survives this process.

        Raises:
            OSError: if the disk is full or fails; the log then has nothing of the batch.
        """
        frame = self._encode(batch)
        try:
            _write_all(self._file, frame)
        except OSError:
            with contextlib.suppress(OSError):  # else an incomplete tail stays, which readers cut
                os.ftruncate(self._file, self.size)
            raise
        self.size += len(frame)

    def sync(self) -> None:
        """Sync all written data to disk, so that it survives the machine.

        Raises:
            OSError: if the disk fails.
        """
        with self._open:
            size = self.size
            if self._file < 0 or size == self._synced_size:
                return
            os.fsync(self._file)
            if self._synced_size is None:
                sync_folder(self.path.parent)
            self._synced_size = size

    def close(self) -> None:
        """Close the file."""
        with self._open:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def _encode(self, batch: pa.RecordBatch) -> bytes:
        self._stream.write_batch(batch, custom_metadata={CHECKSUM: _checksum(batch, self._seed)})
        frame = self._frames.getvalue()
        self._frames.seek(0)
        self._frames.truncate()
        return frame


class LogReader:
    """Reads the valid part of a log, also while another process writes to it.

    `good_bytes` is the end of the last valid batch read so far; `problem` says why reading ended,
    and is empty at the end of the file.

    Raises:
        UnreadableLog: if not even the schema can be read.
        FileNotFoundError: if there is no log (any more).
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self._file = pa.OSFile(os.fspath(path), "rb")
        try:
            self._stream = ipc.open_stream(self._file)
        except (pa.ArrowException, OSError) as error:
            self._file.close()
            raise UnreadableLog(f"{path.name}: {_in_short(error)}") from None
        self.schema: pa.Schema = self._stream.schema
        self._seed = _schema_checksum(self.schema)
        self.good_bytes: int = self._file.tell()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all valid batches in order."""
        while (batch := self._next()) is not None:
            self.good_bytes = self._file.tell()
            yield batch

    def tail(self) -> bytes:
        """Return the bytes after the last valid batch."""
        self._file.seek(self.good_bytes)
        rest: bytes = self._file.read()
        return rest

    def _next(self) -> pa.RecordBatch | None:
        try:
            batch, metadata = self._stream.read_next_batch_with_custom_metadata()
            batch.validate(full=True)  # first: a damaged batch must not be used
        except StopIteration:
            return None
        except (pa.ArrowException, OSError) as error:
            self.problem = _in_short(error)
            return None
        if metadata is None or _text(metadata, CHECKSUM) != _checksum(batch, self._seed):
            self.problem = "the checksum of a batch does not fit its rows"
            return None
        return batch


def _schema_checksum(schema: pa.Schema) -> int:
    return zlib.crc32(schema.serialize())


def _checksum(batch: pa.RecordBatch, seed: int) -> str:
    """Return the checksum of a batch's bytes and its schema."""
    return str(zlib.crc32(batch.serialize(), seed))


def _text(metadata: Any, key: str) -> str:
    value = metadata.get(key)
    return value.decode("ascii", "replace") if value is not None else ""


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _in_short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
