"""Download Bybit's daily order-book archives: politely, resumably and completely.

A file gets its name only when its length is what the server said and all CRCs in the zip are right.
Unfinished files are kept as `NAME.part` and continued by the next call.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from quantgod.archive.http_part import (
    AbsentFileError,
    InterruptedTransferError,
    Part,
    RefusedFileError,
    fetch_rest,
)
from quantgod.archive.plan import archive_name, find_archives
from quantgod.contracts import Progress, silent
from quantgod.settings import DataSettings, DownloadSettings

DEPTH_CHANGED: Final = dt.date(2025, 8, 21)
"""From this day on archives have 200 levels; before it 500."""

LONGEST_WAIT_SECONDS: Final = 3600.0
PROGRESS_SECONDS: Final = 0.2

_FETCHED, _SKIPPED, _ABSENT = "fetched", "skipped", "absent"

# A lost connection that brought this much is not a failed attempt: a long file may need many.
_WORTHWHILE_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class DownloadReport:
    """The result for each day; the first four fields together hold every day of the range.

    `forbidden` are the absent days with answer 403.
    """

    fetched: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()
    bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def headline(self) -> str:
        """Return one line for a table."""
        parts = (self.fetched, self.skipped, self.absent, self.failed)
        fetched, skipped, absent, failed = (len(part) for part in parts)
        size = f"{self.bytes / 1e6:.0f} MB"
        told = f"{fetched} fetched ({size}), {skipped} there, {absent} absent, {failed} failed"
        return told + (f"; {len(self.forbidden)} answered 403" if self.forbidden else "")

    def failure_message(self) -> str:
        """Return which days failed, and why."""
        reasons = "; ".join(f"{day}: {reason}" for day, reason in self.failed.items())
        return f"{len(self.failed)} days could not be fetched: {reasons}"


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
    return asyncio.run(_Download(data, settings, progress).run())


def archive_names(symbol: str, day: dt.date) -> Iterator[str]:
    """Yield possible names of a day's archive: with the depth of its time first."""
    depths = (500, 200) if day < DEPTH_CHANGED else (200, 500)
    return (f"{archive_name(symbol, day, depth)}.zip" for depth in depths)


class _GaveUp(Exception):
    """A day could not be downloaded, with the reason."""


class _Download:
    """The state of one call: finished days, and the end of a demanded wait."""

    def __init__(self, data: DataSettings, settings: DownloadSettings, progress: Progress) -> None:
        self._data = data
        self._settings, self._progress = settings, progress
        found, _ = find_archives(data.archives, data.market, data.symbol)
        self._there = {file.date for file in found}
        self._forbidden: set[str] = set()
        count = (settings.last_day - settings.first_day).days + 1
        self._days = [settings.first_day + dt.timedelta(days=i) for i in range(count)]
        self._places = asyncio.Semaphore(settings.concurrency)
        self._done = self._bytes = 0
        self._quiet_until = self._next_note = 0.0

    async def run(self) -> DownloadReport:
        async with self._session() as session, asyncio.TaskGroup() as group:
            tasks = {str(day): group.create_task(self._day(session, day)) for day in self._days}
        ends = {day: task.result() for day, task in tasks.items()}
        fetched, skipped, absent = (
            tuple(day for day, end in ends.items() if end == kind)
            for kind in (_FETCHED, _SKIPPED, _ABSENT)
        )
        failed = {
            day: str(end) for day, end in ends.items() if end not in (_FETCHED, _SKIPPED, _ABSENT)
        }
        forbidden = tuple(day for day in absent if day in self._forbidden)
        return DownloadReport(fetched, skipped, absent, failed, forbidden, self._bytes)

    def _session(self) -> aiohttp.ClientSession:
        seconds = self._settings.timeout_seconds
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds),
            headers={"User-Agent": "quantgod", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=True,
        )

    async def _day(self, session: aiohttp.ClientSession, day: dt.date) -> str | _GaveUp:
        async with self._places:
            try:
                end: str | _GaveUp = await self._any_depth(session, day)
            except _GaveUp as verdict:
                end = verdict
        self._done += 1
        self._tell(str(day), always=True)
        return end

    async def _any_depth(self, session: aiohttp.ClientSession, day: dt.date) -> str:
        if day in self._there:
            return _SKIPPED
        data, base = self._data, self._settings.base_url.rstrip("/")
        for name in archive_names(data.symbol, day):
            url = f"{base}/{data.market}/{data.symbol}/{name}"
            try:
                await self._patiently(session, url, Part(data.own_archives / name))
            except AbsentFileError as answer:
                if answer.is_forbidden:
                    self._forbidden.add(str(day))
                continue
            except (RefusedFileError, OSError) as error:
                raise _GaveUp(str(error)) from error
            return _FETCHED
        return _ABSENT

    async def _patiently(self, session: aiohttp.ClientSession, url: str, part: Part) -> None:
        """Retry until the file is complete and valid."""
        failures = 0
        while True:
            before = part.size()
            try:
                await self._quiet()
                await fetch_rest(session, url, part, self._received)
                await self._accept(part)
            except InterruptedTransferError as problem:
                failures += part.size() - before < _WORTHWHILE_BYTES
                if failures >= self._settings.attempts:
                    raise _GaveUp(f"{problem}, after {failures} attempts") from problem
                await self._back_off(failures, problem)
            else:
                return

    async def _accept(self, part: Part) -> None:
        fault = await asyncio.to_thread(_zip_fault, part.path)
        if fault:
            part.discard()
            raise InterruptedTransferError(fault)
        part.finish()

    async def _quiet(self) -> None:
        """Wait as long as the server has demanded, for any day."""
        await asyncio.sleep(max(0.0, self._quiet_until - asyncio.get_running_loop().time()))

    async def _back_off(self, failures: int, problem: InterruptedTransferError) -> None:
        """Wait twice as long after each failure, partly random."""
        if problem.retry_after is not None:
            if problem.retry_after > LONGEST_WAIT_SECONDS:
                raise _GaveUp(f"{problem}: asked to wait {problem.retry_after:.0f} s") from problem
            now = asyncio.get_running_loop().time()
            self._quiet_until = max(self._quiet_until, now + problem.retry_after)
        step = self._settings.backoff_seconds * 2 ** max(failures - 1, 0)
        longest = min(step, self._settings.backoff_limit_seconds)
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))

    def _received(self, count: int) -> None:
        self._bytes += count
        self._tell("", always=False)

    def _tell(self, note: str, *, always: bool) -> None:
        now = asyncio.get_running_loop().time()
        if always or now >= self._next_note:
            self._next_note = now + PROGRESS_SECONDS
            self._progress(
                self._done, len(self._days), f"{self._bytes / 1e6:.1f} MB {note}".strip()
            )


def _zip_fault(path: Path) -> str | None:
    """Return what is wrong with a zip, by reading all of it without extracting."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"not a sound zip ({error})"
    return f"wrong CRC in {member}" if member else None
