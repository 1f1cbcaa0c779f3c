"""Download Bybit's daily order-book archives: politely, resumably and completely.

A file gets its name only when its length is what the server said and all CRCs in the zip are right.
Unfinished files are kept as `NAME.part` and continued by the next call.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Final

import aiohttp

from quantgod.archive.fetching import DownloadReport, End, Fetcher, zip_fault
from quantgod.archive.http_part import AbsentFileError, Part
from quantgod.archive.plan import archive_name, find_archives
from quantgod.contracts import Progress, silent
from quantgod.settings import DataSettings, DownloadSettings

DEPTH_CHANGED: Final = dt.date(2025, 8, 21)
"""From this day on archives have 200 levels; before it 500."""


def download(
    data: DataSettings, settings: DownloadSettings, progress: Progress = silent
) -> DownloadReport:
    """Download the missing archives of `settings.first_day` to `settings.last_day`.

    They go to `data.own_archives`; a day elsewhere below `data.archives` is not missing.

    A failed day does not stop the others. Progress counts days; its note counts bytes. An
    interruption (Ctrl-C) keeps the parts, from which the next call continues.

    Raises:
        ValueError: if the last day lies before the first.
    """
    if settings.last_day < settings.first_day:
        raise ValueError(f"no days from {settings.first_day} to {settings.last_day}")
    data.own_archives.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_download(data, settings, progress))


def archive_names(symbol: str, day: dt.date) -> Iterator[str]:
    """Yield possible names of a day's archive: with the depth of its time first."""
    depths = (500, 200) if day < DEPTH_CHANGED else (200, 500)
    return (f"{archive_name(symbol, day, depth)}.zip" for depth in depths)


async def _download(
    data: DataSettings, settings: DownloadSettings, progress: Progress
) -> DownloadReport:
    found, _ = find_archives(data.archives, data.market, data.symbol)
    there = {str(file.date) for file in found}
    base = f"{settings.base_url.rstrip('/')}/{data.market}/{data.symbol}"
    fetcher = Fetcher(settings, progress)

    async def fetch(session: aiohttp.ClientSession, day: str) -> End:
        end: End = "skipped" if day in there else "absent"
        for name in archive_names(data.symbol, dt.date.fromisoformat(day)):
            if end in ("skipped", "fetched"):
                break
            try:
                part = Part(data.own_archives / name)
                await fetcher.fetch(session, f"{base}/{name}", part, zip_fault)
                end = "fetched"
            except AbsentFileError as answer:
                end = "forbidden" if answer.is_forbidden else end
        return end

    count = (settings.last_day - settings.first_day).days + 1
    days = [str(settings.first_day + dt.timedelta(days=shift)) for shift in range(count)]
    return await fetcher.all(days, fetch)
