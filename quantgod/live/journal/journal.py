"""The journal's public interface, with three threads that write rows to disk.

The writer turns waiting rows into batches of a log every `flush_seconds`, the syncer syncs logs to
disk every `sync_seconds`, and the sealer turns finished logs into Parquet, those of earlier
sessions first. None waits for another: a slow disk blocks neither the caller nor the next flush.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa

from quantgod.live.journal.buffer import TableBuffer
from quantgod.live.journal.notices import JournalError, JournalNotice, Report
from quantgod.live.journal.recovery import claim, discard_parts, lock_folder, make_rooms
from quantgod.live.journal.sealer import Sealer
from quantgod.live.journal.segments import is_table_name, logged_segments, next_session
from quantgod.live.journal.syncer import Syncer
from quantgod.live.journal.writer import Writer
from quantgod.settings import JournalSettings


class TableState(NamedTuple):
    """Numbers of a table's rows in this session: in a log, waiting, and lost."""

    acknowledged: int
    waiting: int
    dropped: int
    refused: int


class JournalState(NamedTuple):
    """The journal's state: its tables, and problems by table (empty if none)."""

    tables: dict[str, TableState]
    troubles: dict[str, str]


def _nobody(_notice: JournalNotice) -> None:
    """Ignore the notice."""


class Journal:
    """Writes rows to tables in `folder`; after a crash each acknowledged row is there once.

    A row is acknowledged when the operating system has it: it then survives a crash of the process,
    and after at most `sync_seconds` of the machine. While the disk is full, rows wait; without room
    they are dropped, counted and reported. One process at a time may write to a folder;
    `read_table` may read it at any time.

    Args:
        folder: Created if needed. Logs of earlier sessions are recovered in the background.
        tables: Schemas by name (capitals, digits and underscores).
        settings: Intervals of flush, sync and seal, and the number of waiting rows.
        report: Called with notices, from the journal's threads.
        source: The exchange of the rows; empty if it does not matter.

    Raises:
        JournalLocked: if another process writes to the folder.
        JournalError: if the folder has rows of another source.
        ValueError: for a table name that is not a valid file name, or a column that cannot be
            sealed.
    """

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, pa.Schema],
        settings: JournalSettings,
        report: Report = _nobody,
        source: str = "",
    ) -> None:
        _check(tables)
        self.folder = folder
        self._is_closed = False
        self._closing = threading.Lock()
        self._lock = lock_folder(folder)
        try:
            claim(folder, source)
            make_rooms(folder, tables)
            discard_parts(folder, report)
        except (OSError, JournalError):
            os.close(self._lock)
            raise
        left = logged_segments(folder)
        self._buffers = {
            name: TableBuffer(name, schema, settings.buffer_rows) for name, schema in tables.items()
        }
        self._sealer = Sealer(folder, left, report)
        self._syncer = Syncer(settings.sync_seconds, self._sealer.take, report)
        self._writer = Writer(
            folder, next_session(folder), self._buffers, settings, self._syncer, report
        )
        self._report = report

    def append(self, table: str, row: Mapping[str, Any]) -> bool:
        """Add a row without waiting; return False if it was dropped.

        Raises:
            ValueError: for an unknown table, or a row without exactly its columns.
            JournalError: after `close`.
        """
        return self._put(table, row, None)

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        """Add a row and flush it at once.

        Returns:
            A future that is done when the row is acknowledged, which a full disk delays. It fails
            with `JournalError` if the row was dropped, and with `ValueError` if its values do not
            fit the schema.

        Raises:
            ValueError, JournalError: as `append`.
        """
        promise: Future[None] = Future()
        if self._put(table, row, promise):
            self._writer.wake()
        else:
            promise.set_exception(JournalError(f"{table}: no room, the row was dropped"))
        return promise

    def acknowledged(self, table: str) -> int:
        """Return how many rows of this session are acknowledged; they are the first added ones."""
        return self._buffers[table].acknowledged

    def state(self) -> JournalState:
        """Return the journal's state."""
        tables = {
            name: TableState(one.acknowledged, len(one), one.dropped, one.refused)
            for name, one in self._buffers.items()
        }
        return JournalState(tables, {**self._writer.troubles, **self._sealer.troubles})

    def close(self, seal_seconds: float | None = None) -> None:
        """Write waiting rows, seal all logs and unlock the folder.

        Args:
            seal_seconds: Time limit of sealing; the next start seals the rest.
        """
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self._writer.close()
        self._syncer.close()
        self._sealer.close(seal_seconds)
        for name, buffer in self._buffers.items():
            if lost := buffer.give_up():
                text = f"{name}: {lost} rows could not be written before the end"
                self._report(JournalNotice("error", "rows_lost", text))
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, table: str, row: Mapping[str, Any], promise: Future[None] | None) -> bool:
        buffer = self._buffers.get(table)
        if buffer is None:
            known = ", ".join(self._buffers)
            raise ValueError(f"one of the tables {known} was expected, got {table!r}")
        if self._is_closed:
            raise JournalError(f"{self.folder}: the journal is closed")
        is_in = buffer.put(row, promise)
        if self._writer.is_pressed(buffer):
            self._writer.wake()
        return is_in


def _check(tables: Mapping[str, pa.Schema]) -> None:
    if wrong := [name for name in tables if not is_table_name(name)]:
        raise ValueError(f"tables named in capitals were expected, got {', '.join(wrong)}")
    for name, schema in tables.items():
        for field in schema:
            if pa.types.is_fixed_size_list(field.type) and field.nullable:
                raise ValueError(f"{name}.{field.name}: Parquet holds no null list of fixed size")
