"""Give a recent answer again: the store takes tens of milliseconds for each, and many callers look.

What is kept is the answer of a GET whose path stands here, and whose status is 200. It is given
again for at most a second from when it was begun; not after this server has changed anything; and
not if it is of the journal's signals and one, or a closed minute, has been journaled since. After
half a second it is made anew beside its callers, so that none of them waits; who asks while one is
made gets that one. Only answers are kept: whatever a change decides on, such as If-Match, its route
reads anew.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Hashable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from quantgod.api.guard.limits import Clock
from quantgod.api.journal import CLOSING, SIGNALS
from quantgod.live.journal.segments import WAL

KEPT_SECONDS: Final = 1.0
MOST_ANSWERS: Final = 100
"""Distinct questions; a caller who varies them gains nothing by it, and takes no memory."""

OF_THE_STORE: Final = re.compile(
    r"/api/(versions(/\d+/gates)?|deployments|ensemble/(status|models))"
)
OF_SIGNALS: Final = re.compile(r"/api/(health|signals/latest)")
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Question = tuple[str, bytes, Hashable]
"""Path and query, and the state of the signals for what is made of them."""


class Answer(NamedTuple):
    """An answer, and when it was begun."""

    at: float
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class RecentAnswers:
    """An ASGI application around another that gives its recent answers again.

    Args:
        app: makes answers; they must not depend on who asks.
        journal: of the signals.
        clock: in seconds.
    """

    def __init__(self, app: App, journal: Path, clock: Clock = time.monotonic) -> None:
        self.app = app
        self._journal, self._clock = journal, clock
        self._kept: dict[Question, Answer] = {}
        self._making: dict[Question, asyncio.Task[Answer]] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["method"] not in SAFE:
            try:
                await self.app(scope, receive, send)
            finally:
                self._forget()
        elif scope["method"] == "GET" and _may_be_kept(scope["path"]):
            await _give(await self._answer(scope), send)
        else:
            await self.app(scope, receive, send)

    def _forget(self) -> None:
        """Keep neither what was made before a change nor what is just being made."""
        self._kept.clear()
        self._making.clear()

    async def _answer(self, scope: Message) -> Answer:
        path = scope["path"]
        state = signals_state(self._journal) if OF_SIGNALS.fullmatch(path) else None
        asked = path, scope["query_string"], state
        kept = self._kept.get(asked)
        age = KEPT_SECONDS if kept is None else self._clock() - kept.at
        if kept is None or age >= KEPT_SECONDS:
            return await asyncio.shield(self._made(asked, scope))
        if age >= KEPT_SECONDS / 2 and not self._making:  # one by one, so that none slows another
            self._made(asked, scope)
        return kept

    def _made(self, asked: Question, scope: Message) -> asyncio.Task[Answer]:
        """Return the task that makes an answer: one for all who ask at the same time."""
        if asked not in self._making:
            self._making[asked] = asyncio.create_task(self._make(asked, dict(scope)))
            self._making[asked].add_done_callback(_look)
        return self._making[asked]

    async def _make(self, asked: Question, scope: Message) -> Answer:
        begun, said = self._clock(), list[Message]()
        given = iter([{"type": "http.request", "body": b""}])

        async def receive() -> Message:
            return next(given, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            said.append(message)

        try:
            await self.app(scope, receive, send)
        finally:
            is_valid = self._making.get(asked) is asyncio.current_task()
            if is_valid:
                del self._making[asked]
        body = b"".join(message.get("body", b"") for message in said[1:])
        answer = Answer(begun, said[0]["status"], said[0]["headers"], body)
        if is_valid and answer.status == HTTPStatus.OK:
            if len(self._kept) >= MOST_ANSWERS:
                self._kept.clear()
            self._kept[asked] = answer
        return answer


def signals_state(journal: Path) -> Hashable:
    """Return what changes whenever a signal or a closed minute is journaled: the logs' sizes."""
    with suppress(FileNotFoundError), os.scandir(journal / WAL) as logs:
        sizes = sorted(
            (log.name, log.stat().st_size) for log in logs if log.name.partition(".")[0] in CLOSING
        )
        return *sizes, (journal / SIGNALS).stat().st_mtime_ns
    return None


def _may_be_kept(path: str) -> bool:
    return bool(OF_THE_STORE.fullmatch(path) or OF_SIGNALS.fullmatch(path))


async def _give(answer: Answer, send: Send) -> None:
    start = {"type": "http.response.start", "status": answer.status}
    await send(start | {"headers": list(answer.headers)})
    await send({"type": "http.response.body", "body": answer.body})


def _look(making: asyncio.Task[Answer]) -> None:
    """Look at the outcome of an answer for which nobody may wait."""
    if not making.cancelled():
        making.exception()
