"""The journal's public face: rows in, and three threads that bring them to the disk.

The writer turns waiting rows into batches of a log every `flush_seconds`, the syncer brings logs to
the disk every `sync_seconds`, the sealer makes Parquet of logs that are done with, those of earlier
sessions first. None waits for another: a slow disk holds up neither the caller nor the next flush.
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
    """Rows of one table in this session: in a log, waiting, and lost before they got there."""

    acknowledged: int
    waiting: int
    dropped: int
    refused: int


class JournalState(NamedTuple):
    """How the journal is: its tables, and what is wrong by table (empty while all is well)."""

    tables: dict[str, TableState]
    troubles: dict[str, str]


def _nobody(_notice: JournalNotice) -> None:
    """Report to nobody."""


class Journal:
    """Writes rows to tables in `folder`; after a crash each acknowledged row is there, once.

    A row is acknowledged when the operating system has it: it then survives the process, and after
    at most `sync_seconds` the machine. While the disk is full rows wait; where there is no room for
    more they are dropped, counted and reported. One process at a time may write to a folder;
    `read_table` may read it at any time.

    Args:
        folder: Made if it is not there. What an earlier session left is recovered at the start, in
            the background.
        tables: Schemas by name (capitals, digits and underscores).
        settings: How often rows are flushed, synced and sealed, and how many may wait.
        report: Told what happens, from the journal's threads.
        source: The exchange that the rows come from; empty where that is of no account.

    Raises:
        JournalLocked: when another process writes to the folder.
        JournalError: when the folder holds rows of another source.
        ValueError: for a table's name that no file can have, or a column that cannot be sealed.
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
        """Give a row to the journal, without waiting; False where it had to be dropped.

        Raises:
            ValueError: for an unknown table, or a row that has not exactly its columns.
            JournalError: after `close`.
        """
        return self._put(table, row, None)

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        """Give a row to the journal and have it written at once.

        Returns:
            A future that is done when the row is acknowledged. While the disk is full it is not
            done; it fails with `JournalError` where the row had to be dropped, and with
            `ValueError` where its values do not fit the schema.

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
        """Rows of this session that survive the process; they are the first that were let in."""
        return self._buffers[table].acknowledged

    def state(self) -> JournalState:
        """How the journal is now."""
        tables = {
            name: TableState(one.acknowledged, len(one), one.dropped, one.refused)
            for name, one in self._buffers.items()
        }
        return JournalState(tables, {**self._writer.troubles, **self._sealer.troubles})

    def close(self, seal_seconds: float | None = None) -> None:
        """Write what waits, seal every log and give the folder back.

        Args:
            seal_seconds: How long sealing may take; the next start seals what is left then.
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
