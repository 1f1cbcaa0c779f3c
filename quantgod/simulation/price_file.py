"""Read one-minute prices from a file for a simulated market."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from quantgod.archive.minute_table import read_minutes
from quantgod.archive.price_table import Unit
from quantgod.contracts import MS_PER_MINUTE, Integers
from quantgod.simulation.price_path import Bars

LONGEST_HOLE: Final = 24 * 60
"""In minutes. Venues were down for hours; a longer gap means that part of the file is missing."""

LAST_HOUR: Final = 60
"""A file whose last minutes had no trade may end this many minutes early."""


def prices_file(path: Path) -> Path:
    """Return the path of `simulate.prices` after checking it.

    Raises:
        ValueError: if there is no such file, with the full path.
    """
    if not path.is_file():
        raise ValueError(
            "simulate.prices: a .csv, .csv.gz, .parquet or .feather file of minute bars was "
            f"expected at {path.resolve()}, there is none"
        )
    return path


def read_price_bars(
    path: Path, start_ms: int, minutes: int, ahead: int = 0, unit: Unit = "ms"
) -> Bars:
    """Return `minutes` bars from `start_ms`; a missing minute is flat at the last close.

    Args:
        path: A file as `minute_table` reads it.
        start_ms: The first minute, epoch ms.
        minutes: Number of minutes.
        ahead: How many of the last minutes may be missing in the file.
        unit: Of numeric times.

    Raises:
        ValueError: for a malformed line, with its number; or if the file does not cover the
            minutes, with its range or its gap.
    """
    table = read_minutes(path, unit)
    at, start = table.index.to_numpy(), start_ms // MS_PER_MINUTE
    end = start + minutes - ahead
    if not (at[0] <= start and end - LAST_HOUR <= at[-1] + 1):
        raise ValueError(
            f"{path}: prices run from {_utc(at[0])} to {_utc(at[-1])}, but {_utc(start)} to "
            f"{_utc(end - 1)} were expected"
        )
    hole = np.diff(at) > LONGEST_HOLE
    for before, after in zip(at[:-1][hole], at[1:][hole], strict=True):
        if before < end and after > start:
            raise ValueError(f"{path}: no prices between {_utc(before)} and {_utc(after)}")
    return _without_holes(table, at, start + np.arange(minutes))


def _without_holes(table: pd.DataFrame, at: Integers, wanted: Integers) -> Bars:
    """Fill missing bars with the close before them."""
    place = np.searchsorted(at, wanted, side="right") - 1
    present = at[place] == wanted
    close = table["close"].to_numpy()[place]
    opening, high, low = (
        np.where(present, table[name].to_numpy()[place], close) for name in ("open", "high", "low")
    )
    return Bars(opening, close, high, low)


def _utc(minute: int) -> str:
    return str(np.datetime64(int(minute), "m")).replace("T", " ")
