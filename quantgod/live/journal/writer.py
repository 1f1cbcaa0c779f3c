"""Write waiting rows to logs in a separate thread, and start new logs when old ones are full."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa

from quantgod.live.journal.buffer import Chunk, TableBuffer
from quantgod.live.journal.log import LogWriter
from quantgod.live.journal.notices import JournalNotice, NoticeCode, Report
from quantgod.live.journal.segments import Segment
from quantgod.live.journal.syncer import Syncer
from quantgod.settings import JournalSettings

LOG_BYTES: Final = 64 << 20
"""A log of this size is sealed early, so that the final sealing takes only seconds."""

REPORT_SECONDS: Final = 60.0
"""Minimal time between two reports of dropped rows of one table."""

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Writer:
    """Flushes all tables, with one log per table at a time.

    Attributes:
        troubles: present problems by table.
    """

    def __init__(
        self,
        folder: Path,
        session: int,
        buffers: Mapping[str, TableBuffer],
        settings: JournalSettings,
        syncer: Syncer,
        report: Report,
    ) -> None:
        self.troubles: dict[str, str] = {}
        self._settings = settings
        self._syncer = syncer
        self._report = report
        self._tables = [
            _TableWriter(folder, session, buffer, syncer) for buffer in buffers.values()
        ]
        self._reported: dict[str, tuple[float, int]] = {}
        self._pressed = settings.buffer_rows / 4
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Flush at once."""
        self._wake.set()

    def is_pressed(self, buffer: TableBuffer) -> bool:
        """Return whether so many rows wait that they should be flushed now."""
        return len(buffer) > self._pressed and buffer.name not in self.troubles

    def close(self) -> None:
        """Flush once more, retire all logs and stop."""
        self._ending = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + 60 * self._settings.seal_minutes
        while not self._ending:
            self._wake.wait(self._settings.flush_seconds)
            self._wake.clear()
            self._flush_all()
            if time.monotonic() >= due:
                self._retire_all()
                due = time.monotonic() + 60 * self._settings.seal_minutes
        self._flush_all()
        self._retire_all()

    def _flush_all(self) -> None:
        for table in self._tables:
            self._flush(table)
            self._tell_dropped(table.buffer)

    def _retire_all(self) -> None:
        for table in self._tables:
            table.retire()

    def _flush(self, table: _TableWriter) -> None:
        name = table.buffer.name
        try:
            while chunk := table.write():
                self._tell_refused(name, chunk)
                if name in self.troubles:
                    self._resume(name, table.buffer)
        except (OSError, MemoryError, pa.ArrowException) as error:
            if name not in self.troubles:
                self._fail(name, error)

    def _fail(self, name: str, error: Exception) -> None:
        is_full = isinstance(error, OSError) and error.errno in _FULL
        code: NoticeCode = "disk_full" if is_full else "disk_failed"
        self.troubles[name] = f"{code}: {error}"
        text = f"{name}: {error}; rows wait, and are written when there is room again"
        self._report(JournalNotice("error", code, text))

    def _resume(self, name: str, buffer: TableBuffer) -> None:
        del self.troubles[name]
        text = f"{name}: rows are written again; {buffer.dropped} were dropped in this session"
        self._report(JournalNotice("info", "disk_resumed", text))

    def _tell_refused(self, name: str, chunk: Chunk) -> None:
        for reason in list(chunk.refused.values())[:1]:
            text = f"{name}: {len(chunk.refused)} rows do not fit the table, the first: {reason}"
            self._report(JournalNotice("error", "row_refused", text))

    def _tell_dropped(self, buffer: TableBuffer) -> None:
        now, dropped = time.monotonic(), buffer.dropped
        last, told = self._reported.get(buffer.name, (-REPORT_SECONDS, 0))
        if dropped == told or now - last < REPORT_SECONDS:
            return
        self._reported[buffer.name] = (now, dropped)
        text = f"{buffer.name}: {dropped - told} rows dropped for want of room, {dropped} in all"
        self._report(JournalNotice("error", "rows_dropped", text))


class _TableWriter:
    """The log of one table, created at its first row."""

    def __init__(self, folder: Path, session: int, buffer: TableBuffer, syncer: Syncer) -> None:
        self.buffer = buffer
        self._folder = folder
        self._next = Segment(buffer.name, session, 1)
        self._syncer = syncer
        self._segment: Segment | None = None
        self._log: LogWriter | None = None

    def write(self) -> Chunk | None:
        """Write and return the oldest waiting rows; return None if nothing waits.

        Raises:
            OSError: if the disk is full or fails; the rows keep waiting for a new log.
        """
        chunk = self.buffer.oldest()
        if chunk is None:
            return None
        if self._segment is not None and self._syncer.has_failed(self._segment):
            self.retire()
        if chunk.batch.num_rows:
            self._append(chunk.batch)
        self.buffer.done(chunk)
        return chunk

    def retire(self) -> None:
        """Finish this log."""
        if self._segment is not None:
            self._syncer.retire(self._segment)
        self._segment = self._log = None

    def _append(self, batch: pa.RecordBatch) -> None:
        if self._log is None:
            self._begin(batch)
            return
        try:
            self._log.append(batch)
        except OSError:
            self.retire()
            raise
        if self._log.size >= LOG_BYTES:
            self.retire()

    def _begin(self, batch: pa.RecordBatch) -> None:
        """Start a log with this batch; on a full disk no file is left."""
        segment = self._next
        log = LogWriter(segment.log(self._folder), self.buffer.schema)
        self._next = segment._replace(number=segment.number + 1)
        try:
            log.append(batch)
        except OSError:
            log.close()
            log.path.unlink()
            raise
        self._segment, self._log = segment, log
        self._syncer.add(segment, log)
