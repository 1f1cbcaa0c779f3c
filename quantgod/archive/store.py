"""Minute bars on disk: a Parquet a day, `MARKET/SYMBOL/YYYY-MM-DD.parquet`, whole or not at all.

Functions here take the folder of one market.

A file holds the 810 columns of `BAR_COLUMNS` as float64 (absent levels: null price, zero size), the
index `datetime` (UTC, microseconds, which is what pandas itself uses) and, as file metadata, where
the rows came from. Columns go from the reader's blocks to Arrow without pandas in between; with
dictionaries off, since prices and sizes hardly repeat and dictionaries took half of the writing.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from quantgod.contracts import (
    BAR_COLUMNS,
    FEATURES,
    MARKETS,
    MS_PER_MINUTE,
    Floats,
    Integers,
    Market,
    Series,
)
from quantgod.files import atomic_path

SCHEMA_VERSION: Final = "2"
"""Raised whenever columns or metadata, their types or their meaning change."""

INDEX: Final = "datetime"
DEFAULT_COLUMNS: Final = (*FEATURES, "close")

WITHOUT_BOOKS: Final = (
    "the bars have no levels of a book (candles): a version can be trained and evaluated, but not "
    "backtested, so no gates can judge it and `main` ends at `backtest`"
)

_METADATA_KEY: Final = b"quantgod"
_INDEX_TYPE: Final = pa.timestamp("us", tz="UTC")
_MICROSECONDS_A_MINUTE: Final = 60_000_000
_READERS: Final = 4
_ROWS_A_BATCH: Final = 1 << 14  # Arrow's own 1,024 take a fifteenth longer for a day of snapshots


Kind = TypeVar("Kind")


class StoreError(ValueError):
    """Bars that are absent, not ours, or not of this version; says where and what was expected."""


class Rows(Protocol):
    """The rows of a reading: epoch minutes (n), features (n, 9), close (n), book (n, 800)."""

    @property
    def minutes(self) -> Integers: ...  # noqa: D102
    @property
    def features(self) -> Floats: ...  # noqa: D102
    @property
    def close(self) -> Floats: ...  # noqa: D102
    @property
    def book(self) -> Floats: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class StoredRows:
    """The rows of a stored day."""

    minutes: Integers
    features: Floats
    close: Floats
    book: Floats


@dataclass(frozen=True)
class DayMetadata:
    """Where a stored day came from, what it was made with, and what the next day needs of it.

    Attributes:
        market: The venue's market.
        symbol: The contract.
        date: The day, `YYYY-MM-DD`.
        source_digest: Digest of the archive's content.
        depth: Levels a side of the archive's feed (500 or 200).
        kernel_version: Version of the kernel that made the rows.
        day_key: Digest of everything that determines the rows, but for the day before.
        stitch_key: Digest of the carry that the first rows were made with; empty: without one.
        first_close_minute: First minute that closed validly when read without a carry.
        carry: State of book and kernel at the archive's end.
        report: The archive's part of the quality report (JSON-able).
        lacks: Of bars that were imported, the features that could not be known; `None` for others.
        schema_version: Version of the file's layout.
    """

    market: Market
    symbol: str
    date: str
    source_digest: str
    depth: int
    kernel_version: int
    day_key: str
    stitch_key: str
    first_close_minute: int | None
    carry: bytes
    report: dict[str, Any]
    lacks: tuple[str, ...] | None = None
    schema_version: str = SCHEMA_VERSION


def day_path(bars: Path, symbol: str, date: dt.date) -> Path:
    """Where the bars of a day stand."""
    return bars / symbol / f"{date.isoformat()}.parquet"


def write_day(path: Path, rows: Rows, metadata: DayMetadata, compression: str) -> None:
    """Write one day by atomic rename: `path` is the old file or the whole new one.

    Raises:
        StoreError: for arrays whose shapes do not fit, minutes out of order, or a feature that is
            not finite: nothing that breaks the contract of a bar reaches the disk.
    """
    _check(rows, metadata)
    write_file(path, bars_schema(), [bars_table(rows)], metadata, compression)


def write_file(
    path: Path, schema: pa.Schema, tables: Iterable[pa.Table], metadata: object, compression: str
) -> None:
    """Write tables, one after the other, and what is said of them as one Parquet, atomically."""
    with (
        atomic_path(path) as part,
        pq.ParquetWriter(
            part,
            schema,
            compression=compression,
            use_dictionary=False,
            write_statistics=False,
            write_batch_size=_ROWS_A_BATCH,
        ) as writer,
    ):
        for table in tables:
            writer.write_table(table)
        # It must be text: bytes go in base64, which msgspec does by itself.
        writer.add_key_value_metadata({_METADATA_KEY: msgspec.json.encode(metadata)})


def bars_table(rows: Rows) -> pa.Table:
    """Rows as a table of `bars_schema`."""
    return pa.Table.from_arrays(list(_columns(rows)), schema=bars_schema())


@cache
def bars_schema() -> pa.Schema:
    """The schema of a day's bars."""
    return minutes_schema(BAR_COLUMNS)


def minutes_schema(columns: Sequence[str]) -> pa.Schema:
    """The columns and the index `datetime`, by which pandas finds it."""
    fields = [pa.field(name, pa.float64()) for name in columns]
    # The least that lets pandas find its index; a full description would be 100 kB a file.
    index = {
        "name": INDEX,
        "field_name": INDEX,
        "pandas_type": "datetimetz",
        "numpy_type": "datetime64[us]",
        "metadata": {"timezone": "UTC"},
    }
    for_pandas = {"index_columns": [INDEX], "column_indexes": [], "columns": [index]}
    return pa.schema(
        [*fields, pa.field(INDEX, _INDEX_TYPE)], metadata={"pandas": json.dumps(for_pandas)}
    )


def read_metadata(path: Path) -> DayMetadata:
    """Read a stored day's metadata from the file's footer alone.

    Raises:
        StoreError: for a file that is not a whole Parquet of ours.
    """
    return said_of(path, open_file(path), DayMetadata)


def read_rows(path: Path) -> StoredRows:
    """Read a stored day's rows as they were written."""
    table = open_file(path).read()
    first_book, close = len(FEATURES) + 1, table["close"].to_numpy()
    columns = [column.to_numpy() for column in table.columns[:-1]]
    return StoredRows(
        _epoch_minutes(table[INDEX]),
        np.column_stack(columns[: len(FEATURES)]),
        close,
        np.column_stack(columns[first_book:]),
    )


def read_index(path: Path) -> Integers:
    """Read the epoch minutes of a stored day's rows."""
    return _epoch_minutes(read_column(path, INDEX))


def read_column(path: Path, name: str) -> pa.ChunkedArray:
    """Read one column of a stored day, or its index.

    Raises:
        StoreError: for a file that is not a whole Parquet, or lacks the column.
    """
    read = open_file(path).read(columns=[name])
    if name not in read.column_names:
        raise StoreError(f"{path}: a Parquet file, but without the column {name} of a stored day")
    return read[name]


def stored_days(bars: Path, symbol: str) -> list[Path]:
    """The stored days of a symbol, oldest first."""
    return sorted((bars / symbol).glob("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9].parquet"))


def stored_series(bars: Path, symbol: str) -> Series:
    """Whose bars the stored days of a symbol are, by their own metadata.

    Imported bars that lack features of a book are candles.

    Raises:
        StoreError: if there are none, or one is of another symbol, market or source.
    """
    paths = stored_days(bars, symbol)
    if not paths:
        raise StoreError(f"no bars of {symbol} in {bars}: {_what_is_there(bars)}")
    metadata = [read_metadata(path) for path in paths]
    found = [Series(one.symbol, one.market, "candles" if one.lacks else "book") for one in metadata]
    expected = Series(symbol, found[0].market, found[0].source)
    for path, series in zip(paths, found, strict=True):
        if series != expected:
            raise StoreError(f"{path}: bars of {series}, those of {expected} were expected")
    return expected


def without_books(bars: Path, symbol: str) -> bool:
    """Whether the last stored day of a symbol has no levels, so that there is nothing to trade on.

    Raises:
        StoreError: for a file that is not a whole Parquet of ours.
    """
    return any(read_metadata(path).depth == 0 for path in stored_days(bars, symbol)[-1:])


def are_imported(bars: Path, symbol: str) -> bool:
    """Whether the first stored day of a symbol was imported, and not made of an archive.

    Raises:
        StoreError: for a file that is not a whole Parquet of ours.
    """
    first = stored_days(bars, symbol)[:1]
    return any(read_metadata(path).lacks is not None for path in first)


def load_bars(
    bars: Path,
    symbol: str,
    columns: Sequence[str] | None = None,
    days: tuple[dt.date, dt.date] | None = None,
) -> pd.DataFrame:
    """Load the wanted columns (default: the nine features and `close`) of the stored days.

    Args:
        bars: Folder of the bars.
        symbol: The contract.
        columns: Of `BAR_COLUMNS`.
        days: The first and the last day to load; by default all.

    Returns:
        A frame of float64 with a UTC `datetime` index in microseconds, increasing and unique.

    Raises:
        StoreError: when there is nothing to load (says what there is), a column is unknown, a file
            is of another schema version, or days overlap (an etl was stopped before it stitched).
    """
    wanted = list(DEFAULT_COLUMNS if columns is None else columns)
    if unknown := [name for name in wanted if name not in BAR_COLUMNS]:
        raise StoreError(f"unknown columns {unknown}: the {len(BAR_COLUMNS)} of BAR_COLUMNS exist")
    return load_days(bars, symbol, lambda path: _read_columns(path, wanted), days)


def load_days(
    bars: Path,
    symbol: str,
    read: Callable[[Path], pa.Table],
    days: tuple[dt.date, dt.date] | None,
) -> pd.DataFrame:
    """Load what `read` gives of each stored day; days, frame and errors as `load_bars` has them."""
    paths = stored_days(bars, symbol)
    if not paths:
        raise StoreError(f"no bars of {symbol} in {bars}: {_what_is_there(bars)}")
    if days is not None:
        paths = _within(paths, *days)
    with ThreadPoolExecutor(_READERS) as readers:
        tables = list(readers.map(read, paths))
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    _check_order(frame.index, bars / symbol)
    return frame


def _within(paths: list[Path], first: dt.date, last: dt.date) -> list[Path]:
    """The days from `first` to `last`; their names are dates."""
    within = [path for path in paths if first.isoformat() <= path.stem <= last.isoformat()]
    if not within:
        stored = f"{paths[0].stem} to {paths[-1].stem} are stored"
        raise StoreError(f"{paths[0].parent}: no bars from {first} to {last}; {stored}")
    return within


def _epoch_minutes(index: pa.ChunkedArray) -> Integers:
    minutes: Integers = index.cast(pa.int64()).to_numpy() // _MICROSECONDS_A_MINUTE
    return minutes


def _read_columns(path: Path, columns: list[str]) -> pa.Table:
    file = open_file(path)
    version = said_of(path, file, DayMetadata).schema_version
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema version {version}, expected {SCHEMA_VERSION}: run etl again"
        )
    return file.read(columns=[*columns, INDEX], use_threads=False)


def open_file(path: Path) -> pq.ParquetFile:
    """Open a Parquet of a day.

    Raises:
        StoreError: for a file that is not a whole Parquet.
    """
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise StoreError(f"{path}: not a whole Parquet file ({error})") from None


def _check(rows: Rows, metadata: DayMetadata) -> None:
    count = len(rows.minutes)
    what = f"{metadata.symbol} {metadata.date}"
    features = len(FEATURES)
    book = len(BAR_COLUMNS) - features - 1
    shapes = (rows.features.shape, rows.close.shape, rows.book.shape)
    expected = ((count, features), (count,), (count, book))
    if shapes != expected:
        raise StoreError(f"{what}: features, close, book have shapes {shapes}, expected {expected}")
    if not (np.diff(rows.minutes) > 0).all():
        raise StoreError(f"{what}: minutes must increase")
    if not (np.isfinite(rows.features).all() and np.isfinite(rows.close).all()):
        raise StoreError(f"{what}: a feature or close is not finite")


def _columns(rows: Rows) -> Iterator[pa.Array]:
    # One transposed copy makes every column contiguous, which Arrow then takes without copying.
    for block in (rows.features, rows.close.reshape(-1, 1)):
        yield from (pa.array(column) for column in np.ascontiguousarray(block.T))
    for column in np.ascontiguousarray(rows.book.T):
        yield pa.array(column, from_pandas=True)  # NaN, a level that is not there, becomes null
    yield index_of(rows.minutes)


def index_of(minutes: Integers) -> pa.Array:
    """Epoch minutes as the index of a file."""
    return index_of_ms(minutes * MS_PER_MINUTE)


def index_of_ms(times: Integers) -> pa.Array:
    """Epoch milliseconds as the index of a file."""
    return pa.array(times * 1_000).cast(_INDEX_TYPE)


def said_of(path: Path, file: pq.ParquetFile, kind: type[Kind]) -> Kind:
    """What the footer of an open file says of it.

    Raises:
        StoreError: for a Parquet that is not ours, or whose metadata are of another version.
    """
    text = (file.metadata.metadata or {}).get(_METADATA_KEY)
    if text is None:
        raise StoreError(f"{path}: a Parquet file, but without quantgod's metadata")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path}: metadata of another version ({error})") from None


def _what_is_there(bars: Path) -> str:
    if symbols := _symbols(bars):
        return f"it holds {', '.join(symbols)}"
    if bars.name in MARKETS and _symbols(bars.parent):
        return f"{bars.parent} holds bars of no market, of an earlier version: run etl again"
    return "it holds no bars at all" if bars.is_dir() else "there is no such folder"


def _symbols(bars: Path) -> list[str]:
    """The symbols that a folder holds bars of."""
    entries = bars.iterdir() if bars.is_dir() else ()
    return sorted(entry.name for entry in entries if stored_days(bars, entry.name))


def _check_order(index: pd.Index[Any], folder: Path) -> None:
    if not index.is_monotonic_increasing or not index.is_unique:
        first = index[1:][np.diff(index.asi8) <= 0][0]  # type: ignore[attr-defined]
        raise StoreError(f"{folder}: days overlap at {first}: run etl again, it stitches them")
