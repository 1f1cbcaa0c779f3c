"""List the available data: archives, bars and labels of the settings' symbol."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from quantgod.archive.plan import ArchiveFile, find_archives
from quantgod.archive.store import stored_days, without_books
from quantgod.dataset.labels import NO_TARGET
from quantgod.settings import Settings
from quantgod.tracking.stage import data_path

MINUTES_A_DAY: Final = 1440


@dataclass(frozen=True)
class Inventory:
    """Available days and rows, and the minutes that a run will learn from.

    Attributes:
        archives: of the symbol, one per day.
        bar_days: stored days of bars.
        bar_rows: number of their rows.
        label_rows: number of labelled rows, 0 without a table.
        minutes: number of minutes for the stages after `label`.
        told: the source of that number.
        without_books: True if the bars have no book levels to trade on.
    """

    archives: tuple[ArchiveFile, ...]
    bar_days: tuple[dt.date, ...]
    bar_rows: int
    label_rows: int
    minutes: int
    told: str
    without_books: bool = False

    @property
    def days_to_read(self) -> int:
        """Return the number of archives whose days are not stored yet; `etl` skips the others."""
        return len({file.date for file in self.archives} - set(self.bar_days))


def at_hand(settings: Settings) -> Inventory:
    """List the folders that the settings name; an unreadable file counts as empty."""
    data, root = settings.data, settings.data.archives
    files = find_archives(root, data.market, data.symbol)[0] if root.is_dir() else []
    archives = {file.date: file for file in reversed(files)}  # the deepest of each day
    stored = stored_days(data.market_bars, data.symbol)
    days = tuple(dt.date.fromisoformat(path.stem) for path in stored)
    rows = sum(map(_rows, stored))
    labelled = _labelled(data_path("labels", settings))
    minutes, told = _minutes(settings, labelled, rows, len(archives))
    found = tuple(archives.values())
    return Inventory(found, days, rows, labelled, minutes, told, _without_books(settings))


def missing_days(days: tuple[dt.date, ...]) -> list[dt.date]:
    """Return the days missing between the first and the last."""
    if not days:
        return []
    first, there = min(days), set(days)
    span = (first + dt.timedelta(days=count) for count in range((max(days) - first).days))
    return [day for day in span if day not in there]


def days_asked_for(settings: Settings) -> int:
    """Return the number of days that the settings simulate or download, or 0."""
    match settings.data.source:
        case "simulate":
            return settings.simulate.days
        case "download":
            return (settings.download.last_day - settings.download.first_day).days + 1
        case _:
            return 0


def _without_books(settings: Settings) -> bool:
    with suppress(OSError, ValueError):
        return without_books(settings.data.market_bars, settings.data.symbol)
    return False


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError):
        return 0


def _labelled(path: Path) -> int:
    try:
        target = pq.read_table(path, columns=["target"])["target"]
    except (OSError, ValueError, KeyError):
        return 0
    return int(pc.sum(pc.not_equal(target, NO_TARGET)).as_py() or 0)


def _minutes(settings: Settings, labelled: int, rows: int, archives: int) -> tuple[int, str]:
    if labelled:
        return labelled, "labelled rows at hand"
    if rows:
        return rows, "rows of bars at hand"
    if archives:
        return archives * MINUTES_A_DAY, f"minutes of the {archives} archives at hand"
    days = days_asked_for(settings)
    return days * MINUTES_A_DAY, f"minutes of the {days} days that `{settings.data.source}` gets"
