"""What archives and bars there are: of which series and days, how much, and what is missing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from quantgod.archive.plan import ArchiveFile, find_archives, market_of
from quantgod.archive.store import INDEX, StoreError, read_column, read_metadata, stored_days
from quantgod.contracts import MARKETS, Market

MINUTES_A_DAY = 1440
_ONE_DAY = dt.timedelta(days=1)

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Holding:
    """What there is of one series.

    Attributes:
        market: the venue's market, or where that is not known the exchange.
        symbol: the contract.
        first, last: the first and the last day, `YYYY-MM-DD`.
        days: days of which there is something.
        coverage: the share that is there of the days (archives) or minutes from the first to the
            last.
        holes: how many there are, and the longest.
        note: what else should be known.
    """

    market: str
    symbol: str
    first: str
    last: str
    days: int
    coverage: float
    holes: str
    note: str = ""

    def row(self) -> tuple[str, ...]:
        """As a row of a table, in the order of `COLUMNS`."""
        return (
            self.market, self.symbol, self.first, self.last, str(self.days),
            f"{self.coverage:.1%}", self.holes, self.note,
        )  # fmt: skip


COLUMNS = ("market", "symbol", "first day", "last day", "days", "coverage", "holes", "note")


def of_minutes(market: str, symbol: str, minutes: Integers, note: str = "") -> Holding:
    """Describe a series by its epoch minutes, increasing; at least one."""
    days = np.unique(minutes // MINUTES_A_DAY)
    gaps = minutes[1:] - minutes[:-1] - 1
    return Holding(
        market, symbol, _date(days[0]), _date(days[-1]), len(days),
        len(minutes) / float(minutes[-1] - minutes[0] + 1),
        _told(gaps, minutes[1:] - gaps, "m", "minutes"), note,
    )  # fmt: skip


def held_archives(root: Path, market: Market) -> tuple[list[Holding], list[str]]:
    """The archives below a folder by series, and the other files with the reason.

    Args:
        root: the folder; it need not be there.
        market: of archives whose folders do not tell.
    """
    files: list[ArchiveFile] = []
    others: set[str] = set()
    for one in MARKETS if root.is_dir() else ():
        found, left = find_archives(root, one)
        files += [file for file in found if one in (market, market_of(root, file.name))]
        others |= {name for name in left if "is asked for" not in name}
    by_series = groupby(files, key=lambda file: (file.market, file.symbol))
    return [_of_files(*series, list(own)) for series, own in by_series], sorted(others)


def held_bars(root: Path) -> list[Holding]:
    """The stored bars below a folder by series; what cannot be read is noted."""
    folders = [root / market for market in MARKETS if (root / market).is_dir()]
    return [
        _of_bars(market, folder.name)
        for market in folders
        for folder in sorted(market.iterdir())
        if stored_days(market, folder.name)
    ]


def _of_files(market: str, symbol: str, files: list[ArchiveFile]) -> Holding:
    days = np.unique([(file.date - dt.date(1970, 1, 1)).days for file in files])
    gaps = days[1:] - days[:-1] - 1
    span = int(days[-1] - days[0]) + 1
    depths = ", ".join(sorted({f"ob{file.depth}" for file in files}))
    return Holding(
        market, symbol, _date(days[0]), _date(days[-1]), len(days), len(days) / span,
        _told(gaps, days[1:] - gaps, "D", "days"), depths,
    )  # fmt: skip


def _of_bars(market: Path, symbol: str) -> Holding:
    minutes: list[Integers] = []
    notes: dict[str, None] = {}
    for path in stored_days(market, symbol):
        try:
            minutes.append(read_column(path, INDEX).cast(pa.int64()).to_numpy() // 60_000_000)
            lacks = read_metadata(path).lacks
        except StoreError as error:
            notes[str(error)] = None
            continue
        if lacks is not None:
            notes[f"imported; lacks {', '.join(lacks) or 'nothing'}"] = None
    there = np.concatenate(minutes) if minutes else np.empty(0, np.int64)
    if not len(there):
        return Holding(market.name, symbol, "", "", 0, 0.0, "", "; ".join(notes) or "no rows")
    return of_minutes(market.name, symbol, np.unique(there), "; ".join(notes))


def _told(gaps: Integers, starts: Integers, unit: str, noun: str) -> str:
    """How many gaps there are and the longest, in words."""
    if not (gaps > 0).any():
        return "none"
    longest = int(gaps.argmax())
    begin = str(np.datetime64(int(starts[longest]), unit)).replace("T", " ")  # type: ignore[call-overload]
    return f"{int((gaps > 0).sum())}, the longest of {gaps[longest]} {noun} from {begin} on"


def _date(day: int) -> str:
    return str(np.datetime64(int(day), "D"))
