"""What the seconds inside each stored minute tell: a Parquet a day beside that of its bars.

`MARKET/SYMBOL/seconds/YYYY-MM-DD.parquet` holds the twelve columns of `SECOND_FIGURES` for the
minutes that have a bar. It is written before the bars, and says which bars it belongs to: those of
another making, which a killed etl may leave, are never read together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa

from quantgod.archive.store import (
    INDEX,
    DayMetadata,
    StoreError,
    index_of,
    load_days,
    minutes_schema,
    open_file,
    read_metadata,
    said_of,
    write_file,
)
from quantgod.contracts import SECOND_FIGURES, Floats, Integers


class BarsKey(msgspec.Struct, frozen=True):
    """The keys of the bars that the figures belong to, as in `DayMetadata`."""

    day_key: str
    stitch_key: str


def seconds_path(day: Path) -> Path:
    """Where the figures stand whose bars stand at `day`."""
    return day.parent / "seconds" / day.name


def write_seconds(
    day: Path, minutes: Integers, seconds: Floats, metadata: DayMetadata, compression: str
) -> None:
    """Write the figures of a day by atomic rename.

    Args:
        day: Where its bars go.
        minutes: Epoch minutes of its rows, (n).
        seconds: The figures, (n, 12).
        metadata: Of its bars.
        compression: Of the file.

    Raises:
        StoreError: for figures of another shape, or one that is not finite.
    """
    expected = len(minutes), len(SECOND_FIGURES)
    if seconds.shape != expected or not np.isfinite(seconds).all():
        what = f"{metadata.symbol} {metadata.date}"
        raise StoreError(f"{what}: finite figures {expected} were expected, got {seconds.shape}")
    columns = [*map(pa.array, np.ascontiguousarray(seconds.T)), index_of(minutes)]
    schema = minutes_schema(SECOND_FIGURES)
    tables = [pa.Table.from_arrays(columns, schema=schema)]
    write_file(seconds_path(day), schema, tables, _key(metadata), compression)


def has_seconds(day: Path, metadata: DayMetadata) -> bool:
    """Whether the figures that belong to stored bars stand beside them."""
    try:
        return said_of(day, open_file(seconds_path(day)), BarsKey) == _key(metadata)
    except (OSError, StoreError):
        return False


def read_seconds(day: Path, metadata: DayMetadata) -> Floats:
    """Read the figures that belong to stored bars, (n, 12).

    Raises:
        StoreError: where they do not stand beside them.
    """
    table = _read(day, metadata, SECOND_FIGURES)
    return np.column_stack([table[name].to_numpy() for name in SECOND_FIGURES])


def load_seconds(
    bars: Path,
    symbol: str,
    columns: Sequence[str] = SECOND_FIGURES,
    days: tuple[dt.date, dt.date] | None = None,
) -> pd.DataFrame:
    """Load figures of the stored days: as `load_bars`, with the same rows.

    Raises:
        StoreError: as `load_bars`, and where a day has none: imported bars, or those of an etl of
            an earlier version.
    """
    if unknown := [name for name in columns if name not in SECOND_FIGURES]:
        raise StoreError(f"unknown figures {unknown}: there are {', '.join(SECOND_FIGURES)}")
    return load_days(bars, symbol, lambda day: _read(day, read_metadata(day), columns), days)


def _read(day: Path, metadata: DayMetadata, columns: Sequence[str]) -> pa.Table:
    if metadata.lacks is not None:
        raise StoreError(f"{day}: imported bars, of whose seconds nothing is known")
    if not has_seconds(day, metadata):
        raise StoreError(f"{day}: {seconds_path(day)} does not belong to it: run etl again")
    return open_file(seconds_path(day)).read(columns=[*columns, INDEX], use_threads=False)


def _key(metadata: DayMetadata) -> BarsKey:
    return BarsKey(metadata.day_key, metadata.stitch_key)
