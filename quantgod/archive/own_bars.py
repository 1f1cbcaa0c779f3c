"""Import own minute bars into a store for `label` and `train`.

A feature is taken from the file if present, else computed from prices (`price_features`). Unknown
features are not invented: they are zero in every row, stored days name them, and a model ignores
them, like all constant features.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from quantgod.archive.bar_files import bar_files
from quantgod.archive.minute_table import read_minutes
from quantgod.archive.price_features import features_of
from quantgod.archive.price_table import Unit, check_jumps
from quantgod.archive.store import (
    SCHEMA_VERSION,
    DayMetadata,
    StoredRows,
    StoreError,
    day_path,
    read_metadata,
    read_rows,
    stored_days,
    write_day,
)
from quantgod.contracts import (
    BOOK_COLUMNS,
    BOOK_LEVELS,
    MS_PER_MINUTE,
    Floats,
    Integers,
    Progress,
    silent,
)
from quantgod.files import file_digest, value_digest
from quantgod.settings import DataSettings, EtlSettings

IMPORT_VERSION: Final = 1
"""Raised whenever the same files would give other rows."""

MINUTES_A_DAY: Final = 1440


@dataclass(frozen=True)
class ImportReport:
    """The result of an import.

    Attributes:
        rows: number of minutes with a row.
        days: number of written days.
        without_close_before: number of minutes without a row, the first ones of stretches, which
            lack the close before them.
        lacks: unknown features, which are zero.
        levels: book levels per side; 0 without a book.
    """

    rows: int
    days: int
    without_close_before: int
    lacks: tuple[str, ...]
    levels: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def headline(self) -> str:
        """Return one line for a table."""
        lacks = f"; lacks {', '.join(self.lacks)}" if self.lacks else ""
        return f"{self.rows} rows of {self.days} days, {self.levels} levels{lacks}"


def import_bars(
    sources: Sequence[Path],
    data: DataSettings,
    settings: EtlSettings,
    unit: Unit = "ms",
    progress: Progress = silent,
) -> ImportReport:
    """Store the minutes of files as `data.own_bars`, one Parquet file per day.

    Args:
        sources: Files for `minute_table`, or folders of such; all of one series.
        data: The series and the folders.
        settings: The rules of `etl`: the longest gap inside a stretch, and the compression.
        unit: Of numeric times.
        progress: Called after each file and day.

    Raises:
        ValueError: for files that are unreadable, overlap, are of another symbol or named after
            different ones, or have different columns (except the volume).
        PriceJumpError: if prices of neighbouring minutes are of no one series.
        StoreError: if `etl` made bars of the series, or a stored day has minutes missing from
            these.
    """
    paths = bar_files(sources, data.symbol)
    _refuse_etl(data)
    table = _joined(paths, data.symbol, unit, progress)
    depth = _depth(table)
    before = _close_before(data, table)
    _check_jumps(paths, table, before)
    found = features_of(table, before, settings.max_bridge_minutes)
    table, features = table[found.has_row], found.values[found.has_row]
    minutes = table.index.to_numpy(np.int64)
    days = {
        int(day): minutes // MINUTES_A_DAY == day for day in np.unique(minutes // MINUTES_A_DAY)
    }
    for day, own in days.items():
        _refuse_loss(_path(data, day), minutes[own])
    digest = value_digest([file_digest(path) for path in paths])
    for done, (day, own) in enumerate(days.items(), start=1):
        close = table["close"].to_numpy()[own]
        rows = StoredRows(minutes[own], features[own], close, _book(table[own]))
        path = _path(data, day)
        write_day(
            path, rows, _metadata(data, path.stem, digest, depth, found.lacks), settings.compression
        )
        progress(done, len(days), f"{data.symbol} {path.stem}")
    return ImportReport(len(table), len(days), int((~found.has_row).sum()), found.lacks, depth)


def _joined(paths: Sequence[Path], symbol: str, unit: Unit, progress: Progress) -> pd.DataFrame:
    """Return one table of all files, without the volume, which is not used."""
    tables = []
    for done, path in enumerate(paths):
        progress(done, len(paths), path.name)
        table = read_minutes(path, unit, needs=("close",), symbol=symbol)
        tables.append((path, table.drop(columns="volume", errors="ignore")))
    tables.sort(key=lambda one: int(one[1].index[0]))
    for (before, early), (path, table) in pairwise(tables):
        if set(early.columns) != set(table.columns):
            odd = ", ".join(sorted(set(early.columns) ^ set(table.columns)))
            raise ValueError(f"{path} and {before} do not both have the columns {odd}")
        if table.index[0] <= early.index[-1]:
            raise ValueError(f"{path} begins before {before} ends: minutes would count twice")
    return pd.concat([table for _, table in tables])


def _check_jumps(
    paths: Sequence[Path], table: pd.DataFrame, before: tuple[int, float] | None
) -> None:
    """Check the closes of all files, and the stored one before them."""
    minutes, closes = table.index.to_numpy(np.int64), table["close"].to_numpy()
    if before is not None:
        minutes, closes = np.append(before[0], minutes), np.append(before[1], closes)
    check_jumps(", ".join(map(str, paths)), minutes * MS_PER_MINUTE, closes, MS_PER_MINUTE)


def _depth(table: pd.DataFrame) -> int:
    """Return the levels per side, which must start with the best and have price and size."""
    given = [name for name in BOOK_COLUMNS if name in table]
    depth = len(given) // 4
    wanted = {
        f"{side}_{k}_{what}" for side in ("bid", "ask") for k in range(depth) for what in "ps"
    }
    if set(given) != wanted:
        odd = ", ".join(sorted(set(given) ^ wanted)[:4])
        raise ValueError(
            f"levels bid_0_p, bid_0_s, ask_0_p, ... without a hole were expected: {odd}"
        )
    if depth:
        sound = (table["bid_0_p"] > 0) & (table["ask_0_p"] > table["bid_0_p"])
        if not sound.all():
            minute = int(sound.index[~sound][0])
            raise ValueError(f"the book of {_utc(minute)} has no two sides, or they cross")
    return depth


def _book(table: pd.DataFrame) -> Floats:
    """Return the 800 book columns, (n, 800); a missing level has NaN price and zero size."""
    absent = np.tile([np.nan, 0.0], 2 * BOOK_LEVELS)
    book = np.tile(absent, (len(table), 1))
    for place, name in enumerate(BOOK_COLUMNS):
        if name in table:
            book[:, place] = table[name]
    return book


def _refuse_etl(data: DataSettings) -> None:
    for path in stored_days(data.market_bars, data.symbol)[:1]:
        if read_metadata(path).lacks is None:
            raise StoreError(
                f"{data.own_bars} holds bars that etl made: give these another folder (--bars)"
            )


def _refuse_loss(path: Path, minutes: Integers) -> None:
    """Refuse to replace a day by one that lacks some of its minutes."""
    lost = np.setdiff1d(read_rows(path).minutes, minutes) if path.exists() else minutes[:0]
    if len(lost):
        raise StoreError(
            f"{path} has {len(lost)} minutes that are not among these, from {_utc(lost[0])} on: "
            "import all files of a day together"
        )


def _close_before(data: DataSettings, table: pd.DataFrame) -> tuple[int, float] | None:
    """Return the last stored minute and close before the table's first minute, or None."""
    first = int(table.index[0])
    for day in (first // MINUTES_A_DAY, first // MINUTES_A_DAY - 1):
        path = _path(data, day)
        if path.exists():
            rows = read_rows(path)
            place = int(np.searchsorted(rows.minutes, first)) - 1
            if place >= 0:
                return int(rows.minutes[place]), float(rows.close[place])
    return None


def _metadata(
    data: DataSettings, date: str, digest: str, depth: int, lacks: tuple[str, ...]
) -> DayMetadata:
    return DayMetadata(
        market=data.market,
        symbol=data.symbol,
        date=date,
        source_digest=digest,
        depth=depth,
        kernel_version=0,
        day_key=value_digest([IMPORT_VERSION, SCHEMA_VERSION, digest]),
        stitch_key="",
        first_close_minute=None,
        carry=b"",
        report={},
        lacks=lacks,
    )


def _path(data: DataSettings, day: int) -> Path:
    return day_path(data.market_bars, data.symbol, dt.date(1970, 1, 1) + dt.timedelta(days=day))


def _utc(minute: int) -> str:
    return str(np.datetime64(int(minute), "m")).replace("T", " ")
