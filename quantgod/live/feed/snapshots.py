"""Fetch snapshots of books by REST: one request per symbol at a time, within the weight limit.

There are no requests while the venue demands a wait, which also cancels requests not yet sent. At
the start and after a refusal, requests go one by one until the venue has answered one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from random import Random
from typing import Final

import aiohttp

from quantgod.archive.http_part import retry_after
from quantgod.live.feed.backoff import Backoff
from quantgod.live.feed.notices import Notice, Report, address
from quantgod.live.feed.stream import REFUSALS
from quantgod.live.feed.weight import RequestBudget
from quantgod.settings import FeedSettings, without_passwords

CHUNK_BYTES: Final = 1 << 16

Deliver = Callable[[str, bytes, float], bool]
"""Takes symbol, body and `time.monotonic()` of arrival; returns whether no other is needed."""


class Snapshots:
    """Fetches requested snapshots, and delivers them while `delivering_to` is open.

    Args:
        settings: addresses and limits.
        symbols: all symbols.
        budget: the venue's request limits, shared with other requests.
        report: called with failures.
        random: for random waits.
    """

    def __init__(
        self,
        settings: FeedSettings,
        symbols: Iterable[str],
        budget: RequestBudget,
        report: Report,
        random: Random,
    ) -> None:
        self._settings, self._budget = settings, budget
        self._report = report
        self._backoffs = {
            symbol: Backoff(settings.retry_seconds, settings.backoff_limit_seconds, random)
            for symbol in symbols
        }
        self._unproven: set[str] = set()  # requested, but no valid book yet
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._forgotten: set[asyncio.Task[None]] = set()
        self._attempts: set[asyncio.Timeout] = set()
        self._turn = asyncio.Lock()
        self._is_welcome = False

    @asynccontextmanager
    async def delivering_to(self, deliver: Deliver) -> AsyncIterator[None]:
        """Fetch and deliver while the block runs; all requests end with it."""
        headers = {"User-Agent": "quantgod", "Accept-Encoding": "identity"}
        async with aiohttp.ClientSession(headers=headers, trust_env=True) as session:
            self._session, self._deliver = session, deliver
            try:
                yield
            finally:
                for symbol in list(self._tasks):
                    self.forget(symbol)
                await asyncio.gather(*self._forgotten, return_exceptions=True)

    def ask(self, symbol: str) -> None:
        """Fetch a snapshot, unless one is pending."""
        if symbol not in self._tasks:
            self._tasks[symbol] = asyncio.create_task(self._until_delivered(symbol))

    def forget(self, symbol: str) -> None:
        """Cancel a symbol's request: its stream has ended."""
        task = self._tasks.pop(symbol, None)
        if task is None:
            return
        task.cancel()
        self._forgotten.add(task)
        task.add_done_callback(self._forgotten.discard)
        if not self._backoffs[symbol].failures:
            self._unproven.discard(symbol)

    def succeeded(self, symbol: str) -> None:
        """Reset a symbol's failures: its last snapshot gave a valid book."""
        self._unproven.discard(symbol)
        self._backoffs[symbol].reset()

    def failure(self) -> BaseException | None:
        """Return an exception of a receiver, if any; failed requests do not count."""
        done = (task for task in self._tasks.values() if task.done() and not task.cancelled())
        return next((task.exception() for task in done), None)

    async def _until_delivered(self, symbol: str) -> None:
        while True:
            if symbol in self._unproven:
                await asyncio.sleep(self._backoffs[symbol].next())
            self._unproven.add(symbol)
            body = await self._in_turn(symbol)
            if body is not None and self._deliver(symbol, body, time.monotonic()):
                del self._tasks[symbol]
                return

    async def _in_turn(self, symbol: str) -> bytes | None:
        """Send a request when allowed, and alone unless the venue is known to answer."""
        async with self._turn:
            await self._allowed(symbol)
            if not self._is_welcome:
                return await self._attempt(symbol)
        return await self._attempt(symbol)

    async def _allowed(self, symbol: str) -> None:
        """Wait until the venue and the budget allow a request, and count it."""
        while (wait := self._budget.wait(now := time.monotonic())) > 0:
            if not self._budget.held(now):
                text = f"the share of the request weight is spent: waiting {wait:.1f} s"
                self._report(Notice("warning", "weight_spent", (symbol,), text))
            await asyncio.sleep(wait)
        self._budget.spend(now)

    async def _attempt(self, symbol: str) -> bytes | None:
        """Send one request; return None if it failed."""
        attempt = asyncio.timeout(self._settings.snapshot_seconds)
        try:
            async with attempt:
                self._attempts.add(attempt)
                return await self._fetch(symbol)
        except TimeoutError:
            if not self._budget.held(time.monotonic()):  # else it was cancelled
                self._fail(symbol, f"no answer within {self._settings.snapshot_seconds} s")
        except (aiohttp.ClientError, OSError, _Unusable) as error:
            self._fail(symbol, f"{type(error).__name__}: {error}")
        finally:
            self._attempts.discard(attempt)
        return None

    async def _fetch(self, symbol: str) -> bytes | None:
        query = {"symbol": symbol, "limit": str(self._settings.depth_limit)}
        url = self._settings.depth_url
        async with self._session.get(url, params=query, allow_redirects=False) as response:
            if response.status in REFUSALS:
                self._hold(symbol, response)
                return None
            if response.status != HTTPStatus.OK:
                raise _Unusable(f"HTTP {response.status} {response.reason or ''}".rstrip())
            self._is_welcome = True
            return await self._body(response)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > self._settings.frame_bytes:
                raise _Unusable(f"more than {self._settings.frame_bytes} bytes")
        return bytes(body)

    def _hold(self, symbol: str, response: aiohttp.ClientResponse) -> None:
        self._is_welcome = False
        now = time.monotonic()
        told = retry_after(response.headers)
        wait = self._budget.hold(now, told)
        said = "" if told is not None else " (it did not say for how long)"
        text = f"HTTP {response.status}: no request for {wait:.1f} s{said}"
        self._report(Notice("error", "rate_limited", (symbol,), text))
        for attempt in self._attempts:
            with suppress(RuntimeError):  # it has just expired
                attempt.reschedule(asyncio.get_running_loop().time())

    def _fail(self, symbol: str, why: str) -> None:
        where = address(self._settings.depth_url)
        text = without_passwords(f"no snapshot from {where}: {why}")
        self._report(Notice("warning", "snapshot_failed", (symbol,), text))


class _Unusable(Exception):
    """An answer without a valid snapshot."""
