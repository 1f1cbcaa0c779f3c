"""The labelled table on disk: one Parquet file a symbol, whole or not there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quantgod.dataset.labels import LABEL_COLUMNS
from quantgod.files import atomic_path


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a labelled table; a reader sees the old file or the new one, never a part.

    Raises:
        ValueError: if the columns are not those that `label` makes.
    """
    _check_columns(path, table)
    with atomic_path(path) as part:
        table.to_parquet(part, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Read a labelled table as it was written: columns `LABEL_COLUMNS`, UTC index.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file holds other columns.
    """
    table = pd.read_parquet(path)
    _check_columns(path, table)
    return table


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    if tuple(table.columns) != LABEL_COLUMNS:
        came = ", ".join(map(str, table.columns))
        raise ValueError(f"{path}: a labelled table holds {', '.join(LABEL_COLUMNS)}; got {came}")
