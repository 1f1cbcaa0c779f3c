"""Seal a log: turn it into a Parquet file, and remove it after checking that file.

The Parquet file is written under a temporary name, synced, read again and compared with the log,
renamed, and its folder synced; only then is the log removed. A kill at any point leaves the log, or
both, and `seal` continues from either. Memory use is at most one or two row groups.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from quantgod.files import atomic_path
from quantgod.live.journal.log import LogReader
from quantgod.live.journal.notices import JournalError, JournalNotice, Report, UnreadableLog
from quantgod.live.journal.segments import Segment, set_aside, sync_folder

GROUP_BYTES: Final = 16 << 20
GROUP_ROWS: Final = 65_536


class SealError(JournalError):
    """A Parquet file differs from its log; the log stays."""


class SealStopped(Exception):
    """The journal is closing; the log stays."""


class SealResult(NamedTuple):
    """The result of sealing: rows in the Parquet file, and unreadable bytes."""

    rows: int
    cut_bytes: int


def seal(
    folder: Path, segment: Segment, report: Report, stop: threading.Event | None = None
) -> SealResult:
    """Seal a finished log, and remove it.

    Unreadable parts go to the quarantine: a whole log without a schema, or the tail after the last
    valid batch.

    Raises:
        OSError: if the disk is full or fails; the log stays, and `seal` may be called again.
        SealError: if the written file differs from the log; likewise.
        SealStopped: if `stop` was set; likewise.
    """
    log = segment.log(folder)
    if log.stat().st_size == 0:  # killed between creating the file and its first write
        log.unlink()
        return SealResult(0, 0)
    try:
        rows, tail, problem = _inspect(log)
    except UnreadableLog as error:
        cut = log.stat().st_size
        aside = set_aside(folder, log.name, log, str(error))
        report(JournalNotice("error", "log_quarantined", f"{aside.name}: {error}"))
        return SealResult(0, cut)
    if rows:
        _make_parquet(folder, segment, report, stop)
    if tail:
        reason = f"{len(tail)} bytes behind {rows} rows: {problem or 'no batch'}"
        aside = set_aside(folder, f"{segment.table}.{segment.name}.tail", tail, reason)
        report(JournalNotice("warning", "tail_cut", f"{aside.name}: {reason}"))
    log.unlink()
    sync_folder(log.parent)
    return SealResult(rows, len(tail))


def _inspect(log: Path) -> tuple[int, bytes, str]:
    """Return the number of the log's rows, the bytes after them, and why these are unreadable."""
    with LogReader(log) as reader:
        rows = sum(batch.num_rows for batch in reader.batches())
        return rows, reader.tail(), reader.problem


def _make_parquet(
    folder: Path, segment: Segment, report: Report, stop: threading.Event | None
) -> None:
    log, target = segment.log(folder), segment.sealed(folder)
    if target.exists() and _stands(folder, segment, report):
        return
    with atomic_path(target) as part:
        _write(log, part, stop)
        _sync_file(part)
        _compare(log, part)
    sync_folder(target.parent)


def _stands(folder: Path, segment: Segment, report: Report) -> bool:
    """Return whether an earlier process was killed between rename and removal of the log."""
    target = segment.sealed(folder)
    try:
        _compare(segment.log(folder), target)
    except (SealError, pa.ArrowException) as error:
        aside = set_aside(folder, f"{segment.table}.{target.name}", target, str(error))
        report(JournalNotice("error", "log_quarantined", f"{aside.name}: {error}"))
        return False
    sync_folder(target.parent)
    return True


def _write(log: Path, part: Path, stop: threading.Event | None) -> None:
    with LogReader(log) as reader, _parquet_writer(part, reader.schema) as writer:
        for group in _groups(reader.batches()):
            if stop is not None and stop.is_set():
                raise SealStopped(log.name)
            writer.write_table(group, row_group_size=len(group))


def _parquet_writer(part: Path, schema: pa.Schema) -> pq.ParquetWriter:
    names = [field.name for field in schema if pa.types.is_string(field.type)]
    return pq.ParquetWriter(
        part,
        schema,
        compression="zstd",
        use_dictionary=names,
        write_statistics=[schema.names[0]],  # lets a reader skip old row groups
    )


def _compare(log: Path, sealed: Path) -> None:
    """Read and compare both files, one row group at a time.

    Raises:
        SealError: if they differ in any bit.
    """
    with LogReader(log) as reader, pq.ParquetFile(sealed) as parquet:
        place = 0
        for place, group in enumerate(_groups(reader.batches()), start=1):
            if place > parquet.num_row_groups or not _same(
                group, parquet.read_row_group(place - 1, use_threads=False)
            ):
                raise SealError(f"{sealed.name}: row group {place} differs from {log.name}")
        if place != parquet.num_row_groups:
            raise SealError(f"{sealed.name}: {parquet.num_row_groups} row groups, {place} expected")


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join small batches deterministically, so that two readings can be compared."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _same(one: pa.Table, other: pa.Table) -> bool:
    return one.schema.equals(other.schema) and all(
        _same_column(_joined(left), _joined(right))
        for left, right in zip(one.columns, other.columns, strict=True)
    )


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks)


def _same_column(one: pa.Array, other: pa.Array) -> bool:
    """Compare bit for bit; Arrow's own comparison treats NaN as different from NaN."""
    if pa.types.is_list(one.type) or pa.types.is_fixed_size_list(one.type):
        lengths = pc.list_value_length(one).equals(pc.list_value_length(other))
        return lengths and _same_column(one.flatten(), other.flatten())
    if pa.types.is_floating(one.type):
        one, other = one.view(pa.int64()), other.view(pa.int64())
    return bool(one.equals(other))


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
