"""Find archives, and choose the candidates for each day.

A day may have several archives (another depth, a second download, another folder). They are tried
deepest first, then by name, until one can be read; `day.read_day` handles the others.

Files of one symbol have the same names on every market. A folder called `linear`, `spot` or
`inverse` names their market; without one, they count as of the requested market.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from quantgod.archive.outcome import ArchiveReport
from quantgod.archive.source import KERNEL_VERSION, Quarantine, SourceKey
from quantgod.archive.store import SCHEMA_VERSION
from quantgod.archive.zip_stream import open_archive
from quantgod.contracts import MARKETS, SYMBOL, Market
from quantgod.files import files_below, value_digest
from quantgod.settings import EtlSettings

_NAME: Final = re.compile(
    rf"(?P<date>\d{{4}}-\d{{2}}-\d{{2}})_(?P<symbol>{SYMBOL})_ob(?P<depth>\d{{1,5}})\.data\.zip",
    re.ASCII,
)
_EXPECTED: Final = "DATE_SYMBOL_obDEPTH.data.zip, such as 2025-01-31_BTCUSDT_ob500.data.zip"

# Settings that never affect a row or a verdict.
_NOT_IN_KEY: Final = {
    "compression",
    "workers",
    "scheduler",
    "least_coverage",
    "allow_quarantine",
    "allow_thin",
}


@dataclass(frozen=True)
class ArchiveFile:
    """A file named as an archive; `name` is its path below the archives' folder."""

    path: Path
    name: str
    market: Market
    symbol: str
    date: dt.date
    depth: int


@dataclass(frozen=True)
class Candidate:
    """An archive with a valid directory; `day_key` identifies all that its rows depend on."""

    file: ArchiveFile
    source: SourceKey
    day_key: str


@dataclass(frozen=True)
class Day:
    """One day of one symbol: its candidates, best first, and archives refused without reading.

    `before` holds the possible day keys of the stored day before; None if that day has no archive
    here, so that any stored day counts.
    """

    symbol: str
    date: dt.date
    candidates: tuple[Candidate, ...]
    refused: tuple[ArchiveReport, ...]
    before: frozenset[str] | None = None


def find_archives(
    root: Path, market: Market, symbol: str | None = None
) -> tuple[list[ArchiveFile], list[str]]:
    """Search `root` for archives of `market` (of `symbol`, or all) and for other files.

    Links are followed. Returns:
        The archives by symbol, date, falling depth and name; and the names of all other files,
        each with the reason why it is not among them.

    Raises:
        ValueError: if `root` is not a folder.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "none"
        raise ValueError(f"a folder of archives was expected at {root}, there is {found}")
    archives, others = [], []
    for path in files_below(root):
        name = path.relative_to(root).as_posix()
        file = _archive(path, name, market_of(root, name) or market)
        if isinstance(file, str):
            others.append(f"{name}: {file}")
        elif file.market != market:
            others.append(f"{name}: of the {file.market} market, {market} is asked for")
        elif symbol not in (None, file.symbol):
            others.append(f"{name}: of {file.symbol}, {symbol} is asked for")
        else:
            archives.append(file)
    archives.sort(key=lambda file: (file.symbol, file.date, -file.depth, file.name))
    return archives, others


def market_of(root: Path, name: str) -> Market | None:
    """Return the market named by a file's innermost matching folder; None if there is none.

    The root's own name counts too, and its parent's if the root is a symbol's folder:
    `archives/spot` and `archives/spot/BTCUSDT` are valid roots like `archives`.
    """
    above = root.absolute().parts[-2 if re.fullmatch(SYMBOL, root.name) else -1 :]
    folders = (*above, *Path(name).parent.parts)
    return next(
        (market for part in reversed(folders) for market in MARKETS if market == part), None
    )


def plan_days(files: Iterable[ArchiveFile], settings: EtlSettings) -> list[Day]:
    """Check each archive's directory and return the days, in order of symbol and date."""
    days: list[Day] = []
    for (symbol, date), same_day in groupby(files, key=lambda file: (file.symbol, file.date)):
        looked_at = [_look(file, settings) for file in same_day]
        candidates = tuple(one for one in looked_at if isinstance(one, Candidate))
        refused = tuple(one for one in looked_at if isinstance(one, ArchiveReport))
        days.append(Day(symbol, date, candidates, refused, _keys_before(days, symbol, date)))
    return days


def archive_name(symbol: str, date: dt.date, depth: int) -> str:
    """Return the name of a day's archive without `.zip`, which is also the name of its member.

    Raises:
        ValueError: for a symbol whose archives would not be found again.
    """
    if re.fullmatch(SYMBOL, symbol) is None:
        raise ValueError(f"a symbol such as BTCUSDT or BTCUSD_PERP was expected, got {symbol!r}")
    return f"{date.isoformat()}_{symbol}_ob{depth}.data"


def quarantined(file: ArchiveFile, reason: str, detail: str) -> ArchiveReport:
    """Return the report of a quarantined archive."""
    return ArchiveReport(
        archive=file.name,
        symbol=file.symbol,
        date=file.date.isoformat(),
        depth=file.depth,
        outcome="quarantined",
        reason=reason,
        detail=detail,
    )


def _archive(path: Path, name: str, market: Market) -> ArchiveFile | str:
    """Return the archive that a file's name describes, or why it is none."""
    if not path.exists():
        return "a link that leads nowhere"
    parts = _NAME.fullmatch(path.name)
    if parts is None or not path.is_file():
        return f"{_EXPECTED}, was expected"
    try:
        date = dt.date.fromisoformat(parts["date"])
    except ValueError:
        return f"there is no day {parts['date']}"
    return ArchiveFile(path, name, market, parts["symbol"], date, int(parts["depth"]))


def _look(file: ArchiveFile, settings: EtlSettings) -> Candidate | ArchiveReport:
    try:
        with open_archive(file.path, settings.limits) as archive:
            return Candidate(file, archive.key, _day_key(file, archive.key, settings))
    except Quarantine as verdict:
        return quarantined(file, verdict.reason, verdict.detail)


def _day_key(file: ArchiveFile, source: SourceKey, settings: EtlSettings) -> str:
    rules = settings.model_dump(mode="json", exclude=_NOT_IN_KEY)
    made_by = [KERNEL_VERSION, SCHEMA_VERSION, file.market, file.symbol, str(file.date)]
    return value_digest([source.digest, made_by, rules])


def _keys_before(days: list[Day], symbol: str, date: dt.date) -> frozenset[str] | None:
    if not days or days[-1].symbol != symbol or date - days[-1].date != dt.timedelta(days=1):
        return None
    return frozenset(candidate.day_key for candidate in days[-1].candidates)
