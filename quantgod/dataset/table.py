"""Read and write the labelled table: one Parquet file per series, written atomically."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quantgod.contracts import Series
from quantgod.dataset.labels import further_horizons
from quantgod.dataset.series import series_attributes
from quantgod.files import atomic_path


def write_table(path: Path, table: pd.DataFrame, series: Series) -> None:
    """Write the labelled table of a series; a reader sees the whole old file or the whole new one.

    Raises:
        ValueError: if the columns are not `LABEL_COLUMNS`.
    """
    _check_columns(path, table)
    with atomic_path(path) as part:
        named = table.copy(deep=False)
        named.attrs = series_attributes(series)  # pandas puts them into the file
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


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    try:
        further_horizons(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
