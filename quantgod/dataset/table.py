"""Read and write the labelled table: one Parquet file per series, written atomically.

The file's metadata names the series, because a path alone may later point to other data.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd
import pyarrow.parquet as pq

from quantgod.contracts import Series
from quantgod.dataset.labels import further_horizons
from quantgod.dataset.series import SeriesError, parse_series
from quantgod.files import atomic_path

_SERIES: Final = "series"
_PANDAS_ATTRS: Final = b"PANDAS_ATTRS"


def write_table(path: Path, table: pd.DataFrame, series: Series) -> None:
    """Write the labelled table of a series; a reader sees the whole old file or the whole new one.

    Raises:
        ValueError: if the columns are not `LABEL_COLUMNS`.
    """
    _check_columns(path, table)
    with atomic_path(path) as part:
        named = table.copy(deep=False)
        named.attrs = {_SERIES: msgspec.to_builtins(series)}  # pandas puts them into the file
        named.to_parquet(part, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Read a labelled table: columns `LABEL_COLUMNS`, UTC index.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if the file has other columns.
    """
    table = pd.read_parquet(path)
    _check_columns(path, table)
    return table


def table_series(path: Path) -> Series:
    """Return the series of a labelled table.

    Raises:
        FileNotFoundError: if there is no file.
        SeriesError: if the file does not name its series, as files of older versions do not.
    """
    kept = json.loads((pq.read_schema(path).metadata or {}).get(_PANDAS_ATTRS, b"{}"))
    if _SERIES not in kept:
        raise SeriesError(f"{path}: does not say of which symbol and market it is: run label again")
    return parse_series(json.dumps(kept[_SERIES]).encode(), path)


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    try:
        further_horizons(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
