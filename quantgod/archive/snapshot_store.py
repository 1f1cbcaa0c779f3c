"""Snapshots of books on disk: a Parquet a day, and blocks of the last ones before each close.

`MARKET/SYMBOL/YYYY-MM-DD.parquet` has a row per snapshot: the best levels as float64, as bars have
them, and the index `datetime`, the start of the snapshot's interval, so that its minute is that of
the bar. `blocks/DATE.KEY.npy` beside it holds what a network sees of each minute, as float32
[minutes, block, levels, 4]; `blocks/DATE.KEY.minutes.npy` tells their minutes. Functions here take
the folder of one market.

The Parquet is written last and names its blocks by its key, so a day counts with all three or not
at all.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quantgod.archive.store import (
    INDEX,
    StoreError,
    index_of_ms,
    minutes_schema,
    open_file,
    said_of,
    write_file,
)
from quantgod.contracts import MS_PER_MINUTE, Booleans, Floats, Integers, Market
from quantgod.files import atomic_path
from quantgod.served.blocks import last_mid, relative

SNAPSHOT_VERSION: Final = 1
"""Raised whenever the files, their columns or the meaning of a value change."""

BLOCK_INDEX: Final = np.dtype([("minute", "<i8"), ("mid", "<f8"), ("depth", "<f8")])
"""Of each block: epoch minute, mid of the last snapshot, mean size of a level in the block."""

_KEY_LETTERS: Final = 16
_MINUTES_A_TABLE: Final = 240  # their columns are 15 MB
_AT_ONCE: Final = 4  # minutes: as float64 they stay in the cache of the processor
_ROWS_AT_ONCE: Final = 512  # of all columns: so do these


class SnapshotMetadata(msgspec.Struct, frozen=True):
    """What a day of snapshots is, and the digest of all that it was made from."""

    market: Market
    symbol: str
    date: str
    key: str
    levels: int
    interval_ms: int
    block: int


class DaySnapshots(msgspec.Struct, frozen=True):
    """The books at the ends of the intervals before each close of a day.

    Attributes:
        minutes: epoch minutes, int64 [m].
        levels: float64 [m, per_minute, 2, levels, 2]: bids and asks, price and size; a level that
            is not there has NaN price and zero size.
        is_there: bool [m, per_minute]; the levels of the others mean nothing.
    """

    minutes: Integers
    levels: Floats
    is_there: Booleans


class Blocks(msgspec.Struct, frozen=True):
    """A day's blocks, memory-mapped [minutes, block, levels, 4], their index and interval."""

    index: npt.NDArray[np.void]
    content: npt.NDArray[np.float32]
    interval_ms: int


def snapshot_path(store: Path, symbol: str, date: dt.date) -> Path:
    """Where the snapshots of a day stand."""
    return store / symbol / f"{date.isoformat()}.parquet"


def snapshot_columns(levels: int) -> list[str]:
    """Return the columns of a day's Parquet, in order."""
    return [
        f"{side}_{level}_{field}"
        for side in ("bid", "ask")
        for level in range(levels)
        for field in ("p", "s")
    ]


def write_snapshots(
    path: Path, day: DaySnapshots, metadata: SnapshotMetadata, compression: str
) -> None:
    """Write a day's snapshots and blocks; blocks of an earlier making are removed."""
    _write_blocks(path, day, metadata)
    schema = minutes_schema(snapshot_columns(metadata.levels))
    write_file(path, schema, _tables(day, metadata, schema), metadata, compression)
    for other in path.parent.glob(f"blocks/{path.stem}.*.npy"):
        if other not in _block_paths(path, metadata.key):
            other.unlink(missing_ok=True)


def stored_snapshots(path: Path) -> SnapshotMetadata | None:
    """Return the metadata of a stored day; None if it is not there, or not whole."""
    try:
        metadata = read_snapshot_metadata(path)
    except (OSError, StoreError):
        return None
    return metadata if all(file.exists() for file in _block_paths(path, metadata.key)) else None


def read_snapshot_metadata(path: Path) -> SnapshotMetadata:
    """Read a day's metadata.

    Raises:
        StoreError: for a file that is not a whole Parquet of snapshots.
    """
    return said_of(path, open_file(path), SnapshotMetadata)


def open_blocks(path: Path) -> Blocks:
    """Map the blocks of the day whose snapshots stand at `path`.

    Raises:
        StoreError: where they are not there or of another shape.
    """
    metadata = read_snapshot_metadata(path)
    content_path, index_path = _block_paths(path, metadata.key)
    try:
        content = np.load(content_path, mmap_mode="r")
        index = np.load(index_path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: its blocks cannot be read ({error}): run snapshots again"
        ) from None
    shape = (len(index), metadata.block, metadata.levels, 4)
    if content.shape != shape or content.dtype != np.float32 or index.dtype != BLOCK_INDEX:
        raise StoreError(f"{content_path}: float32 {shape} was expected: run snapshots again")
    return Blocks(index, content, metadata.interval_ms)


def remove_snapshots(path: Path) -> None:
    """Remove a day's snapshots and blocks."""
    path.unlink(missing_ok=True)
    for file in path.parent.glob(f"blocks/{path.stem}.*.npy"):
        file.unlink(missing_ok=True)


def _block_paths(path: Path, key: str) -> tuple[Path, Path]:
    stem = f"{path.stem}.{key[:_KEY_LETTERS]}"
    return path.parent / "blocks" / f"{stem}.npy", path.parent / "blocks" / f"{stem}.minutes.npy"


def _tables(day: DaySnapshots, metadata: SnapshotMetadata, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of some minutes at a time, each valid until the next: no day is held twice."""
    count = day.is_there.shape[1]
    before = np.arange(count, 0, -1) * metadata.interval_ms
    width = 4 * metadata.levels
    columns = np.empty((width, min(_MINUTES_A_TABLE, len(day.minutes)) * count))
    for begin in range(0, len(day.minutes), _MINUTES_A_TABLE):
        part = slice(begin, begin + _MINUTES_A_TABLE)
        there = day.is_there[part]
        levels = day.levels[part].reshape(*there.shape, width)
        rows = levels.reshape(-1, width) if there.all() else levels[there]
        starts = ((day.minutes[part] + 1) * MS_PER_MINUTE)[:, None] - before
        arrays = _arrays(rows, columns[:, : len(rows)])
        yield pa.Table.from_arrays([*arrays, index_of_ms(starts[there])], schema=schema)


def _arrays(rows: Floats, columns: Floats) -> list[pa.Array]:
    """Return rows as columns of Arrow, which stand in `columns`; takes a third of numpy's time."""
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(begin, begin + _ROWS_AT_ONCE)
        columns[:, part] = rows[part].T
    is_thin = math.isnan(columns.sum())  # a level is not there: to look for it column by column
    return [pa.array(column, from_pandas=is_thin) for column in columns]


def _write_blocks(path: Path, day: DaySnapshots, metadata: SnapshotMetadata) -> None:
    content_path, index_path = _block_paths(path, metadata.key)
    places = np.flatnonzero(day.is_there[:, -metadata.block :].all(axis=1))
    index = np.empty(len(places), dtype=BLOCK_INDEX)
    index["minute"] = day.minutes[places]
    with atomic_path(content_path) as part_path, part_path.open("wb") as written:
        _write_header(written, (len(places), metadata.block, metadata.levels, 4))
        for begin in range(0, len(places), _AT_ONCE):
            part = slice(begin, begin + _AT_ONCE)
            books = day.levels[places[part], -metadata.block :]
            seen, index["mid"][part], index["depth"][part] = block_of(books)
            written.write(seen.data)
    with atomic_path(index_path) as part_path, part_path.open("wb") as written:
        np.save(written, index)


def _write_header(written: BinaryIO, shape: tuple[int, ...]) -> None:
    """Begin a file of float32 as `np.save` does; its values follow, so they are never all held."""
    of = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(written, of)


def block_of(books: Floats) -> tuple[npt.NDArray[np.float32], Floats, Floats]:
    """Return what a network sees of books, and the mid and depth that belong to it.

    Args:
        books: [blocks, block, 2, levels, 2].

    Returns:
        Blocks [blocks, block, levels, 4], as `served.blocks.relative` has them; mids [blocks]; mean
        sizes of a level [blocks].
    """
    depth = books[..., 1].mean(axis=(1, 2, 3))
    count, length, _, levels, _ = books.shape
    seen = books.transpose(0, 1, 3, 2, 4).reshape(count, length, levels, 4)
    return relative(seen), last_mid(seen), depth


def read_books(path: Path, minutes: Integers) -> Floats:
    """Return the books of a day's blocks, as the venue gave them.

    Args:
        path: of the day's snapshots.
        minutes: epoch minutes of that day that have a block.

    Returns:
        [minutes, block, levels, 4] of bid price, bid size, ask price, ask size.

    Raises:
        StoreError: naming the first minute without a whole block.
    """
    of = read_snapshot_metadata(path)
    asked = (minutes[:, None] + 1) * MS_PER_MINUTE - np.arange(of.block, 0, -1) * of.interval_ms
    times = pd.to_datetime(asked.ravel(), unit="ms", utc=True).as_unit("us")
    span = [(INDEX, ">=", times.min()), (INDEX, "<=", times.max())]
    rows = pq.read_table(path, filters=span).to_pandas().reindex(times).to_numpy(np.float64)
    books = rows.reshape(*asked.shape, 2, of.levels, 2)
    whole = np.isfinite(books).all(axis=(1, 2, 3, 4))
    if not whole.all():
        lacking = pd.Timestamp(int(minutes[~whole][0]) * MS_PER_MINUTE, unit="ms", tz="UTC")
        raise StoreError(f"{path}: no whole block of the minute {lacking.isoformat()}")
    found: Floats = books.transpose(0, 1, 3, 2, 4).reshape(*asked.shape, of.levels, 4)
    return found
