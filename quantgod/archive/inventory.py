"""List archives and bars: series, days, coverage, and gaps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from quantgod.archive.plan import ArchiveFile, find_archives, market_of
from quantgod.archive.source import Quarantine
from quantgod.archive.store import StoreError, read_index, read_metadata, stored_days
from quantgod.archive.zip_stream import open_archive
from quantgod.contracts import MARKETS, Integers, Market
from quantgod.settings import ArchiveLimits

MINUTES_A_DAY = 1440
SMALL = 0.2
"""An archive with less than this share of the usual bytes may be an excerpt."""
UNREAD = (
    "Archives are counted by name and size: how much of a day one holds shows once `etl` reads it."
)
_ONE_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Holding:
    """The data of one series.

    Attributes:
        market: the venue's market, or the exchange if the market is unknown.
        symbol: the contract.
        first, last: the first and the last day, `YYYY-MM-DD`.
        days: number of days with data.
        coverage: the present share of the days (archives) or minutes from the first to the last.
        unit: of the coverage.
        holes: number of gaps, and the longest.
        note: other remarks.
    """

    market: str
    symbol: str
    first: str
    last: str
    days: int
    coverage: float
    holes: str
    note: str = ""
    unit: str = "minutes"

    def row(self) -> tuple[str, ...]:
        """Return a row of a table, in the order of `COLUMNS`."""
        return (
            self.market, self.symbol, self.first, self.last, str(self.days),
            f"{self.coverage:.1%} of {self.unit}", self.holes, self.note,
        )  # fmt: skip


COLUMNS = ("market", "symbol", "first day", "last day", "days", "coverage", "holes", "note")


def of_minutes(market: str, symbol: str, minutes: Integers, note: str = "") -> Holding:
    """Describe a series by its increasing epoch minutes; at least one."""
    days = np.unique(minutes // MINUTES_A_DAY)
    gaps = minutes[1:] - minutes[:-1] - 1
    return Holding(
        market, symbol, _date(days[0]), _date(days[-1]), len(days),
        len(minutes) / float(minutes[-1] - minutes[0] + 1),
        told_gaps(gaps, minutes[1:] - gaps, "m", "minutes"), note,
    )  # fmt: skip


def held_archives(
    root: Path, market: Market, limits: ArchiveLimits, bars: Path
) -> tuple[list[Holding], list[str]]:
    """Return the archives below a folder by series, and the other files with reasons.

    Archives are opened but not read; the name tells the day. Notes are taken from the store of bars
    for days that `etl` has read.

    Args:
        root: the folder; it need not exist.
        market: of archives whose folders name none.
        limits: for archives.
        bars: the store of bars.
    """
    files: list[ArchiveFile] = []
    others: set[str] = set()
    for one in MARKETS if root.is_dir() else ():
        found, left = find_archives(root, one)
        files += [file for file in found if one in (market, market_of(root, file.name))]
        others |= {name for name in left if "is asked for" not in name}
    by_series = groupby(files, key=lambda file: (file.market, file.symbol))
    held = [_of_files(*series, list(own), limits, bars) for series, own in by_series]
    return held, sorted(others)


def held_bars(root: Path) -> list[Holding]:
    """Return the stored bars below a folder by series, noting unreadable files."""
    folders = [root / market for market in MARKETS if (root / market).is_dir()]
    return [
        _of_bars(market, folder.name)
        for market in folders
        for folder in sorted(market.iterdir())
        if stored_days(market, folder.name)
    ]


def _of_files(
    market: str, symbol: str, files: list[ArchiveFile], limits: ArchiveLimits, bars: Path
) -> Holding:
    looked_at = [(file, _bytes(file, limits)) for file in files]
    sizes = {file: found for file, found in looked_at if isinstance(found, int)}
    depths = ", ".join(sorted({f"ob{file.depth}" for file in files}))
    notes = [depths, *_unopened(looked_at), *_small(sizes), _stored(bars / market, symbol, sizes)]
    note = "; ".join(text for text in notes if text)
    if not sizes:
        return Holding(market, symbol, "", "", 0, 0.0, "", note, "days")
    days = np.unique([(file.date - dt.date(1970, 1, 1)).days for file in sizes])
    gaps = days[1:] - days[:-1] - 1
    span = int(days[-1] - days[0]) + 1
    return Holding(
        market, symbol, _date(days[0]), _date(days[-1]), len(days), len(days) / span,
        told_gaps(gaps, days[1:] - gaps, "D", "days"), note, "days",
    )  # fmt: skip


def _bytes(file: ArchiveFile, limits: ArchiveLimits) -> int | str:
    """Return the declared bytes of an archive, or why it cannot be opened."""
    try:
        with open_archive(file.path, limits) as archive:
            return archive.key.size
    except (Quarantine, OSError) as error:
        return str(error)


def _unopened(looked_at: list[tuple[ArchiveFile, int | str]]) -> Iterator[str]:
    wrong = [f"{file.name} ({found})" for file, found in looked_at if isinstance(found, str)]
    if wrong:
        yield f"{len(wrong)} cannot be opened: {wrong[0]}{', ...' if len(wrong) > 1 else ''}"


def _small(sizes: dict[ArchiveFile, int]) -> Iterator[str]:
    usual = float(np.median([*sizes.values()])) if sizes else 0.0
    small = [file.name for file, size in sizes.items() if size < SMALL * usual]
    if small:
        more = ", ..." if len(small) > 1 else ""
        yield f"{len(small)} of less than a fifth of the usual size: {small[0]}{more}"


def _stored(market: Path, symbol: str, days: Iterable[ArchiveFile]) -> str:
    """Describe what the store has of the archives' days."""
    asked = {file.date.isoformat() for file in days}
    read = [path for path in stored_days(market, symbol) if path.stem in asked]
    rows = 0
    for path in read:
        with suppress(StoreError, OSError):
            rows += len(read_index(path))
    if not read:
        return "none read by `etl` yet"
    share = rows / (MINUTES_A_DAY * len(read))
    return f"`etl` has read {len(read)} of {len(asked)} days: {share:.1%} of their minutes"


def _of_bars(market: Path, symbol: str) -> Holding:
    minutes: list[Integers] = []
    notes: dict[str, None] = {}
    for path in stored_days(market, symbol):
        try:
            minutes.append(read_index(path))
            lacks = read_metadata(path).lacks
        except (StoreError, OSError) as error:
            notes[str(error)] = None
            continue
        if lacks is not None:
            notes[f"imported; lacks {', '.join(lacks) or 'nothing'}"] = None
    there = np.concatenate(minutes) if minutes else np.empty(0, np.int64)
    if not len(there):
        return Holding(market.name, symbol, "", "", 0, 0.0, "", "; ".join(notes) or "no rows")
    return of_minutes(market.name, symbol, np.unique(there), "; ".join(notes))


def told_gaps(gaps: Integers, starts: Integers, unit: str, noun: str) -> str:
    """Return the number of gaps and the longest one, in words."""
    if not (gaps > 0).any():
        return "none"
    longest = int(gaps.argmax())
    begin = str(np.datetime64(int(starts[longest]), unit)).replace("T", " ")  # type: ignore[call-overload]
    return f"{int((gaps > 0).sum())}, the longest of {gaps[longest]} {noun} from {begin} on"


def _date(day: int) -> str:
    return str(np.datetime64(int(day), "D"))
