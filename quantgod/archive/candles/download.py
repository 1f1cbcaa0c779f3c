"""Download Binance's public kline archives: by months, and by days where there is no month yet.

They stand at `BASE/{spot|futures/um|futures/cm}/{monthly|daily}/klines/SYMBOL/INTERVAL/NAME.zip`,
each beside a `.CHECKSUM` that holds its SHA-256. A file gets its name only when both fit. Since a
truncated file may fit its checksum too, a month that ends too early is completed by its days, and
they take the place of one that never fits.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import msgspec

from quantgod.archive.candles.fill import Days, fill_from_files, period_of
from quantgod.archive.candles.report import FileReport, FillReport
from quantgod.archive.fetching import DownloadReport, End, Fetcher, zip_fault
from quantgod.archive.http_part import AbsentFileError, Part
from quantgod.contracts import INTERVALS, Market, Progress, silent
from quantgod.files import file_digest
from quantgod.settings import ArchiveLimits, CandleSettings, Politeness

MARKET_PATHS: Final[Mapping[Market, str]] = {
    "spot": "spot",
    "linear": "futures/um",
    "inverse": "futures/cm",
}
"""Where each market's archives stand."""

_DAY: Final = dt.timedelta(days=1)
_MISFIT: Final = "the SHA-256 is"
_SHA256: Final = re.compile(r"([0-9a-fA-F]{64})\b")


class Downloaded(NamedTuple):
    """What came, and what was stored of it."""

    download: DownloadReport
    fill: FillReport


class _Archive(NamedTuple):
    """A zip of a month (`2025-01`) or a day (`2025-01-31`)."""

    symbol: str
    period: str
    path: Path

    @property
    def name(self) -> str:
        """Return the name that its candles' source and reports tell."""
        return self.path.stem

    @property
    def begin(self) -> dt.date:
        """Return the first day of a month."""
        return dt.date.fromisoformat(f"{self.period}-01")

    @property
    def url(self) -> str:
        """Return its place below the market's."""
        kind = "daily" if self.period.count("-") > 1 else "monthly"
        return f"{kind}/klines/{self.symbol}/{self.path.parent.name}/{self.path.name}"


def download_candles(
    settings: CandleSettings,
    politeness: Politeness,
    limits: ArchiveLimits,
    *,
    now_ms: int,
    progress: Progress = silent,
) -> Downloaded:
    """Fetch the missing archives of all coins, and store their candles.

    The zips stay in `FOLDER/downloads`, and what is there is not fetched again. A file that fails
    does not stop the others.

    Args:
        settings: store, market, interval, coins, days and address.
        politeness: how many at a time, and how patiently.
        limits: of zips.
        now_ms: the clock, epoch milliseconds.
        progress: counts files.

    Raises:
        ValueError: if the last day lies before the first.
        StoreError: if the store holds other candles where these belong.
    """
    today = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC).date()
    days = _days(settings, today)
    download = _fetch_period(settings, politeness, days, today, progress)
    files = {coin: _there(settings, coin, days) for coin in settings.coins}

    def fill(files: Mapping[str, Sequence[Path]]) -> FillReport:
        return fill_from_files(files, settings, limits, now_ms=now_ms, days=days, progress=progress)

    filled = fill(files)
    short = [
        _archive(settings, file.symbol, str(day))
        for file in filled.files
        for day in _days_after(file, settings.interval)
        if days[0] <= day <= days[1]
    ]
    short = [archive for archive in short if not archive.path.exists()]
    if short:
        download = _both(download, _fetch(settings, politeness, short, progress))
        came = [archive for archive in short if archive.path.exists()]
        coins = dict.fromkeys(archive.symbol for archive in came)
        own = {coin: [one.path for one in came if one.symbol == coin] for coin in coins}
        filled = _summed(filled, fill(own))
    return Downloaded(download, filled)


def _fetch_period(
    settings: CandleSettings,
    politeness: Politeness,
    days: Days,
    today: dt.date,
    progress: Progress,
) -> DownloadReport:
    """Fetch the months that are over, and the days of those that are not there, or do not fit."""
    months = list(_months(*days))
    over = [month for month in months if _after(month) <= today]
    whole = [_month(settings, coin, month) for coin in settings.coins for month in over]
    report = _fetch(settings, politeness, whole, progress)
    misfits = {name for name, reason in report.failed.items() if reason.startswith(_MISFIT)}
    without = misfits.union(report.absent)
    lacking = [
        month
        for coin in settings.coins
        for month in _since_listed([_month(settings, coin, one) for one in months], misfits)
        if month.name in without or _after(month.begin) > today
    ]
    parts = [
        _archive(settings, month.symbol, str(day))
        for month in lacking
        for day in _dates(max(month.begin, days[0]), min(_after(month.begin) - _DAY, days[1]))
    ]
    by_days = {month.name for month in lacking}
    report = replace(
        report,
        absent=tuple(name for name in report.absent if name not in by_days),
        forbidden=tuple(name for name in report.forbidden if name not in by_days),
        failed={name: why for name, why in report.failed.items() if name not in by_days},
    )
    return _both(report, _fetch(settings, politeness, parts, progress))


def _fetch(
    settings: CandleSettings,
    politeness: Politeness,
    archives: Iterable[_Archive],
    progress: Progress,
) -> DownloadReport:
    by_name = {archive.name: archive for archive in archives}
    there = {name for name, archive in by_name.items() if archive.path.exists()}
    base = f"{settings.base_url.rstrip('/')}/{MARKET_PATHS[settings.market]}"

    async def fetch_all() -> DownloadReport:
        fetcher = Fetcher(politeness, progress)

        async def fetch(session: aiohttp.ClientSession, name: str) -> End:
            if name in there:
                return "skipped"
            archive = by_name[name]
            return await _one(fetcher, session, f"{base}/{archive.url}", archive.path)

        return await fetcher.all(list(by_name), fetch)

    return asyncio.run(fetch_all()) if by_name else DownloadReport()


async def _one(fetcher: Fetcher, session: aiohttp.ClientSession, url: str, path: Path) -> End:
    """Fetch a zip, and keep it if it fits its checksum."""
    checksum = Part(path.with_name(f"{path.name}.CHECKSUM"))
    try:
        await fetcher.fetch(session, f"{url}.CHECKSUM", checksum, _checksum_fault)
        expected = _told_digest(checksum.target)
        await fetcher.fetch(session, url, Part(path), lambda part: _fault(part, expected))
    except AbsentFileError as answer:
        return "forbidden" if answer.is_forbidden else "absent"
    finally:
        checksum.target.unlink(missing_ok=True)
    return "fetched"


def _fault(path: Path, expected: str | None) -> str | None:
    found = file_digest(path)
    if found != expected:
        return f"{_MISFIT} {found}, and its CHECKSUM says {expected}"
    return zip_fault(path)


def _checksum_fault(path: Path) -> str | None:
    return None if _told_digest(path) else "the CHECKSUM holds no SHA-256"


def _told_digest(path: Path) -> str | None:
    found = _SHA256.match(path.read_text(encoding="utf-8", errors="replace"))
    return found[1].lower() if found else None


def _archive(settings: CandleSettings, symbol: str, period: str) -> _Archive:
    folder = settings.folder / "downloads" / settings.market / symbol / settings.interval
    return _Archive(symbol, period, folder / f"{symbol}-{settings.interval}-{period}.zip")


def _month(settings: CandleSettings, symbol: str, month: dt.date) -> _Archive:
    return _archive(settings, symbol, f"{month:%Y-%m}")


def _there(settings: CandleSettings, coin: str, days: Days) -> list[Path]:
    """Return the files of a coin that hold some of the days, oldest first, a month before days."""
    found = []
    for path in _archive(settings, coin, "").path.parent.glob("*.zip"):
        period = period_of(path)
        if period and period[0] <= days[1] and days[0] < period[1]:
            found.append((period[0], path.name.count("-"), path))
    return [path for _, _, path in sorted(found)]


def _since_listed(months: Sequence[_Archive], known: Set[str]) -> Sequence[_Archive]:
    """Return the months of a coin from the first on that is known to be, or has a file.

    Before it the coin was not listed. Where there is none, only the last month is returned.
    """
    listed = (at for at, one in enumerate(months) if one.name in known or one.path.exists())
    return months[next(listed, len(months) - 1) :]


def _days_after(file: FileReport, interval: str) -> Iterator[dt.date]:
    """Yield the days that are missing at the end of the file of a month."""
    period = period_of(Path(file.file))
    if file.outcome == "quarantined" or period is None or period[1] - period[0] == _DAY:
        return
    missing = dt.datetime.fromisoformat(file.last) + dt.timedelta(milliseconds=INTERVALS[interval])
    yield from _dates(missing.date(), period[1] - _DAY)


def _days(settings: CandleSettings, today: dt.date) -> Days:
    first, last = settings.first_day, min(settings.last_day or today, today - _DAY)
    if last < first:
        raise ValueError(f"candles.first_day: no days that are over from {first} to {last}")
    return first, last


def _months(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = _after(month)


def _after(month: dt.date) -> dt.date:
    """Return the first day of the next month."""
    return (month + 31 * _DAY).replace(day=1)


def _dates(first: dt.date, last: dt.date) -> Iterator[dt.date]:
    for shift in range((last - first).days + 1):
        yield first + shift * _DAY


def _both(one: DownloadReport, other: DownloadReport) -> DownloadReport:
    return DownloadReport(
        one.fetched + other.fetched,
        one.skipped + other.skipped,
        one.absent + other.absent,
        one.failed | other.failed,
        one.forbidden + other.forbidden,
        one.bytes + other.bytes,
    )


def _summed(first: FillReport, second: FillReport) -> FillReport:
    """Return what two fillings did, the second after the first."""
    later = {one.symbol: one for one in second.series}
    series = [
        msgspec.structs.replace(
            later[one.symbol],
            new=one.new + later[one.symbol].new,
            completed=one.completed + later[one.symbol].completed,
        )
        if one.symbol in later
        else one
        for one in first.series
    ]
    return FillReport(series, [*first.files, *second.files])
