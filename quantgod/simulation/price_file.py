"""One-minute prices of a file, for a simulated market to follow."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from quantgod.archive.minute_table import Unit, read_minutes
from quantgod.contracts import MS_PER_MINUTE, Integers
from quantgod.simulation.price_path import Bars

LONGEST_HOLE: Final = 24 * 60
"""Minutes. Venues were away for hours; a longer hole is a file that lacks a part."""

LAST_HOUR: Final = 60
"""A file whose last minutes had no trade ends that much early at most."""


def prices_file(path: Path) -> Path:
    """Return the path of `simulate.prices` as it is.

    Raises:
        ValueError: where no file is there, with the path in full.
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
    """The bars of `minutes` minutes from `start_ms` on; an absent minute is flat at the last close.

    Args:
        path: A file as `minute_table` reads it.
        start_ms: The first minute, epoch ms.
        minutes: How many there are to be.
        ahead: How many of them at the end the file may lack.
        unit: Of its times, where they are numbers.

    Raises:
        ValueError: for a malformed line, with its number; or where the file does not cover the
            minutes, with the range it covers or the hole it has.
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
    """Where there is no bar the close before it holds."""
    place = np.searchsorted(at, wanted, side="right") - 1
    present = at[place] == wanted
    close = table["close"].to_numpy()[place]
    opening, high, low = (
        np.where(present, table[name].to_numpy()[place], close) for name in ("open", "high", "low")
    )
    return Bars(opening, close, high, low)


def _utc(minute: int) -> str:
    return str(np.datetime64(int(minute), "m")).replace("T", " ")
