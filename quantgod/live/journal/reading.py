"""Reading a journal, also one that another process writes: sealed rows, then those of the logs.

A segment is sealed under its final name before its log goes, and read from one of the two: so each
row is there once, and rows come in the order in which they were appended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quantgod.live.journal.log import LogReader
from quantgod.live.journal.notices import JournalError, UnreadableLog
from quantgod.live.journal.segments import Segment, logged_segments, sealed_segments


def read_table(
    folder: Path, table: str, columns: Sequence[str] | None = None, since: int | None = None
) -> pa.Table:
    """Read all rows of a table.

    Args:
        folder: The journal's or recording's folder.
        table: Its name, such as `BARS`.
        columns: Those wanted, in this order; all by default.
        since: Only rows whose first column (the table's time) is at least this.

    Returns:
        The rows in the order in which they were appended; a column that older rows lack is null in
        them, and lists whose fixed sizes differ become lists of any size. A table without rows has
        no columns either.

    Raises:
        JournalError: for a sealed file that cannot be read, columns that no row has, or rows whose
            types do not agree.
    """
    batches = list(read_batches(folder, table, columns, since))
    if not batches:
        return pa.table({})
    try:
        tables = [pa.Table.from_batches([batch]) for batch in batches]
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise JournalError(f"{folder}: rows of {table} of several kinds: {error}") from None


def read_batches(
    folder: Path, table: str, columns: Sequence[str] | None = None, since: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Read as `read_table` does, a batch at a time: for tables larger than the memory."""
    folder = Path(folder)
    # Logs first: a segment sealed in between is then in both lists, and is read once.
    logged = logged_segments(folder, table)
    for segment in sorted({*logged, *sealed_segments(folder, table)}):
        for batch in _segment(folder, segment, columns, since):
            if batch.num_rows:
                yield batch


def _segment(
    folder: Path, segment: Segment, columns: Sequence[str] | None, since: int | None
) -> Iterator[pa.RecordBatch]:
    """The sealed rows, or the log's; between two looks a log may have been sealed."""
    sealed, log = segment.sealed(folder), segment.log(folder)
    if not sealed.exists():
        try:
            reader = LogReader(log)
        except UnreadableLog:
            return  # empty yet, or to be set aside: it holds no row
        except FileNotFoundError:
            if not sealed.exists():
                return  # it was set aside: there was no row in it
        else:
            with reader:
                for batch in reader.batches():
                    yield _selected(batch, log, columns, since)
            return
    yield from _sealed(sealed, columns, since)


def _sealed(
    path: Path, columns: Sequence[str] | None, since: int | None
) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                if since is not None and _is_older(parquet, group, since):
                    continue
                time = parquet.schema_arrow.names[0]
                names = None if columns is None else [time, *columns]
                rows = parquet.read_row_group(group, columns=names, use_threads=False)
                for batch in rows.to_batches():
                    yield _selected(batch, path, columns, since)
    except pa.ArrowException as error:
        raise JournalError(f"{path}: no readable Parquet file ({error})") from None


def _is_older(parquet: pq.ParquetFile, group: int, since: int) -> bool:
    statistics = parquet.metadata.row_group(group).column(0).statistics
    return statistics is not None and statistics.has_min_max and statistics.max < since


def _selected(
    batch: pa.RecordBatch, path: Path, columns: Sequence[str] | None, since: int | None
) -> pa.RecordBatch:
    if since is not None:
        batch = batch.filter(pc.greater_equal(batch.column(0), since))
    if columns is None:
        return batch
    if missing := [name for name in columns if name not in batch.schema.names]:
        there = ", ".join(batch.schema.names)
        raise JournalError(f"{path}: no column {', '.join(missing)}; there are {there}")
    return batch.select(list(columns))
