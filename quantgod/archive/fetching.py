"""Fetch many files politely: a few at a time, patiently, and waiting as long as is asked."""

from __future__ import annotations

import asyncio
import random
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp

from quantgod.archive.http_part import (
    InterruptedTransferError,
    Part,
    RefusedFileError,
    UnreachableError,
    fetch_rest,
)
from quantgod.contracts import Progress
from quantgod.settings import Politeness

LONGEST_WAIT_SECONDS: Final = 3600.0
PROGRESS_SECONDS: Final = 0.2

# A lost connection that brought this much is not a failed attempt: a long file may need many.
_WORTHWHILE_BYTES: Final = 1 << 20

End = Literal["fetched", "skipped", "absent", "forbidden"]
"""How a file ended; a forbidden one is absent, and was answered 403."""


class GaveUpError(Exception):
    """A file could not be fetched, with the reason."""


@dataclass(frozen=True)
class DownloadReport:
    """The result for each file, or day; the first four fields together hold all of them.

    `forbidden` are the absent ones with answer 403.
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
        """Return which failed, and why; of many that failed alike, the first."""
        alike: dict[str, list[str]] = {}
        for name, reason in self.failed.items():
            alike.setdefault(reason, []).append(name)
        reasons = "; ".join(
            f"{first}{f' and {len(others)} more' if others else ''}: {reason}"
            for reason, (first, *others) in alike.items()
        )
        return f"{len(self.failed)} could not be fetched: {reasons}"


class Fetcher:
    """The state of one call: finished files, the end of a demanded wait, and a dead connection.

    Once all attempts at a file have found no connection, those that come after it fail at once, as
    each of them would only wait as long for the same. The next call goes on with them.
    """

    def __init__(self, settings: Politeness, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._places = asyncio.Semaphore(settings.concurrency)
        self._done = self._total = self._bytes = 0
        self._quiet_until = self._next_note = 0.0
        self._dead = ""

    async def all(
        self,
        names: Sequence[str],
        one: Callable[[aiohttp.ClientSession, str], Awaitable[End]],
    ) -> DownloadReport:
        """Let `one` fetch each of the names; one that gives up does not stop the others."""
        self._total += len(names)
        before = self._bytes
        async with self._session() as session, asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(self._one(session, name, one)) for name in names}
        ends = {name: task.result() for name, task in tasks.items()}
        fetched, skipped, forbidden = (
            tuple(name for name, end in ends.items() if end == kind)
            for kind in ("fetched", "skipped", "forbidden")
        )
        absent = tuple(name for name, end in ends.items() if end in ("absent", "forbidden"))
        failed = {name: str(end) for name, end in ends.items() if isinstance(end, GaveUpError)}
        return DownloadReport(fetched, skipped, absent, failed, forbidden, self._bytes - before)

    async def fetch(
        self,
        session: aiohttp.ClientSession,
        url: str,
        part: Part,
        fault: Callable[[Path], str | None],
    ) -> None:
        """Fetch a file with retries until it is complete; `fault` returns what is wrong with it.

        Raises:
            AbsentFileError: if the server has no such file.
            GaveUpError: with the reason.
        """
        failures = 0
        while True:
            if self._dead:
                raise GaveUpError(self._dead)
            before = part.size()
            try:
                await self._quiet()
                await fetch_rest(session, url, part, self._received)
                await _accept(part, fault)
            except InterruptedTransferError as problem:
                failures += part.size() - before < _WORTHWHILE_BYTES
                if failures >= self._settings.attempts:
                    reason = f"{problem}, after {failures} attempts"
                    if isinstance(problem, UnreachableError):
                        self._dead = reason
                    raise GaveUpError(reason) from problem
                await self._back_off(failures, problem)
            except (RefusedFileError, OSError) as error:
                raise GaveUpError(str(error)) from error
            else:
                return

    async def _one(
        self,
        session: aiohttp.ClientSession,
        name: str,
        one: Callable[[aiohttp.ClientSession, str], Awaitable[End]],
    ) -> End | GaveUpError:
        async with self._places:
            try:
                end: End | GaveUpError = await one(session, name)
            except GaveUpError as verdict:
                end = verdict
        self._done += 1
        self._tell(name, always=True)
        return end

    def _session(self) -> aiohttp.ClientSession:
        seconds = self._settings.timeout_seconds
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds),
            headers={"User-Agent": "quantgod", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=True,
        )

    async def _quiet(self) -> None:
        """Wait as long as the server has demanded, for any file."""
        await asyncio.sleep(max(0.0, self._quiet_until - asyncio.get_running_loop().time()))

    async def _back_off(self, failures: int, problem: InterruptedTransferError) -> None:
        """Wait twice as long after each failure, partly random."""
        if problem.retry_after is not None:
            if problem.retry_after > LONGEST_WAIT_SECONDS:
                raise GaveUpError(
                    f"{problem}: asked to wait {problem.retry_after:.0f} s"
                ) from problem
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
            self._progress(self._done, self._total, f"{self._bytes / 1e6:.1f} MB {note}".strip())


async def _accept(part: Part, fault: Callable[[Path], str | None]) -> None:
    if found := await asyncio.to_thread(fault, part.path):
        part.discard()
        raise InterruptedTransferError(found)
    part.finish()


def zip_fault(path: Path) -> str | None:
    """Return what is wrong with a zip, by reading all of it without extracting."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return f"not a sound zip ({error})"
    return f"wrong CRC in {member}" if member else None
