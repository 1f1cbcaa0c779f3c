"""Read what the 112 features of rows before this session are made of: levels and seconds.

A journal keeps them with its bars, a store of `etl` beside them. Rows whose levels or seconds are
not known, such as imported ones, are left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quantgod.archive.seconds import has_seconds, read_seconds
from quantgod.archive.store import read_metadata, read_rows, stored_days
from quantgod.contracts import BOOK_COLUMNS, FEATURES, SECOND_FIGURES
from quantgod.dataset.feature_table import SourceRows
from quantgod.live.engine.feature_rows import NO_SOURCES
from quantgod.live.engine.history import BARS
from quantgod.live.journal import read_batches, tables


def read_sources(
    symbol: str, journal: Path, store: Path | None, since: int, until: int
) -> SourceRows:
    """Read the sources of a symbol's rows, each minute once, oldest first.

    If both have a minute, the journal's is used, as in `read_history`.

    Args:
        symbol: of the rows.
        journal: folder of a journal; it may be empty.
        store: folder of daily bars, as `etl` writes it.
        since: epoch minute of the first row; one has 7 kB.
        until: epoch minute after the last row.

    Raises:
        JournalError, StoreError: if a file cannot be read.
    """
    stored = () if store is None else _stored(symbol, store, since, until)
    parts = [NO_SOURCES, *stored, *_journaled(symbol, journal, since)]
    minutes = np.concatenate([part.minutes for part in parts])
    kept, places = np.unique(minutes[::-1], return_index=True)
    newest = len(minutes) - 1 - places
    taken = newest[(kept >= since) & (kept < until)]
    return SourceRows(*(np.concatenate(values)[taken] for values in zip(*parts, strict=True)))


def _stored(symbol: str, store: Path, since: int, until: int) -> Iterator[SourceRows]:
    for path in stored_days(store, symbol):
        if not _date(since) <= path.stem <= _date(until):
            continue
        metadata = read_metadata(path)
        if metadata.lacks is None and has_seconds(path, metadata):
            rows = read_rows(path)
            seconds = read_seconds(path, metadata)
            yield SourceRows(rows.minutes, rows.features, rows.close, rows.book, seconds)


def _journaled(symbol: str, folder: Path, since: int) -> Iterator[SourceRows]:
    if BARS not in tables(folder):
        return
    for batch in read_batches(folder, BARS, None, since):
        # Rows of older sessions lack columns.
        if {"book", *SECOND_FIGURES} <= {*batch.schema.names}:
            is_known = pc.and_(pc.is_valid(batch["book"]), pc.is_valid(batch[SECOND_FIGURES[0]]))
            yield _sources(batch.filter(pc.and_(pc.equal(batch["symbol"], symbol), is_known)))


def _sources(rows: pa.RecordBatch) -> SourceRows:
    def numbers(name: str) -> np.ndarray:
        return np.asarray(rows[name].to_numpy(zero_copy_only=False))

    book = rows["book"].flatten().to_numpy(zero_copy_only=False)
    return SourceRows(
        numbers("minute"),
        np.column_stack([numbers(name) for name in FEATURES]),
        numbers("close"),
        book.reshape(rows.num_rows, len(BOOK_COLUMNS)),
        np.column_stack([numbers(name) for name in SECOND_FIGURES]),
    )


def _date(minute: int) -> str:
    return dt.datetime.fromtimestamp(minute * 60, dt.UTC).date().isoformat()
