"""Read a journal, also while it is being written: sealed rows, then those of logs.

A segment gets its sealed file before its log is removed, and is read from one of the two: so each
row is read once, in the order of appending.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quantgod.live.journal.log import LogReader
from quantgod.live.journal.notices import JournalError, UnreadableLog
from quantgod.live.journal.segments import Segment, segments, tables
from quantgod.live.journal.tables import UNITS

MADE: Final = ("datetime", "session")
"""Columns computed from a row's time and segment when it is read."""


def read_table(
    folder: Path, table: str, columns: Sequence[str] | None = None, since: int | None = None
) -> pa.Table:
    """Read all rows of a table.

    Args:
        folder: of the journal or recording.
        table: its name, such as `BARS`.
        columns: to read, in this order; default is all.
        since: only rows whose first column (the table's time) is at least this.

    Returns:
        The rows in the order of appending; a column that older rows lack is null there, and lists
        with different fixed sizes become variable-size lists. The table's own columns are followed
        by `datetime` (its time in UTC) and `session` (number of the writing session, from 1). A
        table without rows has the columns that are asked for, of no type, and else none.

    Raises:
        JournalError: for a missing folder or table, an unreadable sealed file, unknown columns, or
            rows of different types.
    """
    _check_there(Path(folder), table)
    batches = list(read_batches(folder, table, columns, since))
    if not batches:
        return pa.table({name: pa.nulls(0) for name in columns or ()})
    try:
        tables = [pa.Table.from_batches([batch]) for batch in batches]
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise JournalError(f"{folder}: rows of {table} of several kinds: {error}") from None


def read_batches(
    folder: Path, table: str, columns: Sequence[str] | None = None, since: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Read like `read_table`, batch by batch, for tables larger than memory."""
    folder = Path(folder)
    for segment in segments(folder, table):
        for batch in _segment(folder, segment, columns, since):
            if batch.num_rows:
                yield batch


def newest_batches(
    folder: Path,
    table: str,
    columns: Sequence[str] | None = None,
    since: int | None = None,
    sessions: range | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read a table's batches from the newest to the oldest.

    Args:
        folder: of the journal or recording.
        table: its name, such as `BARS`.
        columns: to read, in this order; default is all.
        since: only rows whose first column is at least this.
        sessions: only rows of sessions with these numbers.

    Raises:
        JournalError: as `read_table`.
    """
    _check_there(folder, table)
    for segment in reversed(segments(folder, table)):
        if sessions is None or segment.session in sessions:
            yield from reversed(list(_segment(folder, segment, columns, since)))


def _check_there(folder: Path, table: str) -> None:
    there = tables(folder)
    if not there:
        raise JournalError(f"{folder}: a journal was expected, there is none")
    if table not in there:
        raise JournalError(f"{folder}: no table {table}; there are {', '.join(there)}")


def _segment(
    folder: Path, segment: Segment, columns: Sequence[str] | None, since: int | None
) -> Iterator[pa.RecordBatch]:
    """Yield the sealed rows, or the log's; a log may get sealed in between."""
    sealed, log = segment.sealed(folder), segment.log(folder)
    if not sealed.exists():
        try:
            reader = LogReader(log)
        except UnreadableLog:
            return  # still empty, or to be quarantined: it has no rows
        except FileNotFoundError:
            if not sealed.exists():
                return  # it was quarantined: it had no rows
        else:
            with reader:
                for batch in reader.batches():
                    yield _selected(batch, segment, log, columns, since)
            return
    yield from _sealed(segment, sealed, columns, since)


def _sealed(
    segment: Segment, path: Path, columns: Sequence[str] | None, since: int | None
) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                if since is not None and _is_older(parquet, group, since):
                    continue
                time = parquet.schema_arrow.names[0]
                names = None if columns is None else [time, *(set(columns) - set(MADE))]
                rows = parquet.read_row_group(group, columns=names, use_threads=False)
                for batch in rows.to_batches():
                    yield _selected(batch, segment, path, columns, since)
    except pa.ArrowException as error:
        raise JournalError(f"{path}: no readable Parquet file ({error})") from None


def _is_older(parquet: pq.ParquetFile, group: int, since: int) -> bool:
    statistics = parquet.metadata.row_group(group).column(0).statistics
    return statistics is not None and statistics.has_min_max and statistics.max < since


def _selected(
    batch: pa.RecordBatch,
    segment: Segment,
    path: Path,
    columns: Sequence[str] | None,
    since: int | None,
) -> pa.RecordBatch:
    if since is not None:
        batch = batch.filter(pc.greater_equal(batch.column(0), since))
    if columns is None or set(MADE) & set(columns):
        batch = _dated(batch, segment.session)
    if columns is None:
        return batch
    if missing := [name for name in columns if name not in batch.schema.names]:
        there = ", ".join(batch.schema.names)
        raise JournalError(f"{path}: no column {', '.join(missing)}; there are {there}")
    return batch.select(list(columns))


def _dated(batch: pa.RecordBatch, session: int) -> pa.RecordBatch:
    """Add the time of the first column in UTC, and the session's number."""
    name = batch.schema.names[0]
    if name not in UNITS:
        return batch
    size, unit = UNITS[name]
    time = pc.multiply(batch.column(0), size).cast(pa.timestamp(unit, "UTC"))
    numbers = pa.array([session] * batch.num_rows, pa.int64())
    return batch.append_column("datetime", time).append_column("session", numbers)
