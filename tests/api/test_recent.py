"""A recent answer is given again: never one from before a change, and none that is a second old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from quantgod.api.recent import KEPT_SECONDS, MOST_ANSWERS, Message, RecentAnswers
from quantgod.live.journal import SIGNALS, Journal
from tests.api.serving import Served
from tests.api.test_signals import FIRST, SETTINGS, said
from tests.registry.shelves import Shelf

STORE, NEWEST = "/api/deployments", "/api/signals/latest"


class Counting:
    """Answers with how often it was asked, as soon as it may."""

    def __init__(self) -> None:
        self.asked, self.status, self.now = 0, 200, 0.0
        self.may = asyncio.Event()
        self.may.set()

    async def __call__(self, scope: Message, receive: object, send: object) -> None:
        self.asked += 1
        answer, status = str(self.asked).encode(), self.status
        await self.may.wait()
        if status == 500:
            raise RuntimeError("out of nowhere")
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer, "more_body": True})
        await send({"type": "http.response.body", "body": b"."})


Ask = Callable[..., Awaitable[str]]


def played(journal: Path, play: Callable[[Counting, Ask], Awaitable[None]]) -> None:
    async def main() -> None:
        app = Counting()
        recent = RecentAnswers(app, journal, clock=lambda: app.now)

        async def ask(path: str = STORE, method: str = "GET", query: bytes = b"") -> str:
            said: list[Message] = []

            async def send(message: Message) -> None:
                said.append(message)

            scope = {"type": "http", "method": method, "path": path, "query_string": query}
            await recent(scope, None, send)
            return b"".join(one.get("body", b"") for one in said).decode()

        await play(app, ask)

    asyncio.run(main())


def test_an_answer_is_given_for_a_second_and_made_anew_before_that_beside_its_callers(
    tmp_path: Path,
) -> None:
    async def play(app: Counting, ask: Ask) -> None:
        assert [await ask(), await ask()] == ["1.", "1."]
        assert await ask(query=b"a=b") == "2."
        app.now = KEPT_SECONDS / 2
        app.may.clear()
        assert [await ask(), await ask()] == ["1.", "1."], "nobody waits"
        app.may.set()
        await asyncio.sleep(0.01)
        assert (await ask(), app.asked) == ("3.", 3)
        app.now += KEPT_SECONDS
        assert await ask() == "4."

    played(tmp_path, play)


def test_who_asks_while_an_answer_is_made_gets_that_one(tmp_path: Path) -> None:
    async def play(app: Counting, ask: Ask) -> None:
        app.may.clear()
        asking = [asyncio.ensure_future(ask()) for _ in range(3)]
        await asyncio.sleep(0.01)
        asking[0].cancel()
        app.may.set()
        assert await asyncio.gather(*asking[1:]) == ["1.", "1."]
        assert await ask() == "1."

    played(tmp_path, play)


def test_after_a_change_no_answer_from_before_is_given(tmp_path: Path) -> None:
    """Nor one that was begun before it and ends after it."""

    async def play(app: Counting, ask: Ask) -> None:
        assert await ask() == "1."
        app.now = KEPT_SECONDS / 2
        app.may.clear()
        assert await ask() == "1."
        late = asyncio.ensure_future(ask("/api/versions"))
        change = asyncio.ensure_future(ask("/api/deployments/promote", "POST"))
        await asyncio.sleep(0.01)
        app.may.set()
        await asyncio.gather(late, change)
        before = app.asked
        assert [await ask(), await ask("/api/versions")] == [f"{before + 1}.", f"{before + 2}."]

    played(tmp_path, play)


def test_what_is_refused_or_fails_or_is_no_such_route_is_not_kept(tmp_path: Path) -> None:
    async def play(app: Counting, ask: Ask) -> None:
        for path in ("/api/ensemble/training/status", "/api/signals", "/api/versions/1"):
            assert await ask(path) != await ask(path)
        app.status = 409
        assert await ask() != await ask()
        app.status = 500
        with pytest.raises(RuntimeError, match="out of nowhere"):
            await ask()
        app.status = 200
        kept = await ask()
        for number in range(MOST_ANSWERS):
            await ask(query=str(number).encode())
        assert await ask() != kept, "whoever varies his question takes no memory"

    played(tmp_path, play)


def test_a_signal_is_told_at_once(tmp_path: Path) -> None:
    async def play(app: Counting, ask: Ask) -> None:
        assert [await ask(NEWEST), await ask(NEWEST)] == ["1.", "1."], "there is no journal"
        with Journal(tmp_path, {"SIGNALS": SIGNALS}, SETTINGS) as journal:
            for minute in (0, 1):
                journal.append_now("SIGNALS", said(FIRST + minute)).result(10)
                assert [await ask(NEWEST), await ask(NEWEST)] == [f"{minute + 2}."] * 2
        assert await ask(STORE) == await ask(STORE)

    played(tmp_path, play)


def test_over_http_a_change_is_seen_at_once_and_headers_stay(api: Served, shelf: Shelf) -> None:
    shelf.put(1)
    shelf.put(3)
    first, second = (api.get("/api/deployments") for _ in range(2))
    assert first.json()["version"] == 3
    for name in ("ETag", "Content-Type", "Content-Length", "Cache-Control", "X-Frame-Options"):
        assert first.headers[name] == second.headers[name]
    back = api.post("/api/deployments/rollback", {}, If_Match=first.headers["ETag"])
    now = api.get("/api/deployments")
    assert back.status_code == 200 and now.json()["version"] == 1
    assert back.headers["ETag"] == now.headers["ETag"] != first.headers["ETag"]
    shelf.put(4)
    stale = api.post("/api/deployments/rollback", {}, If_Match=now.headers["ETag"])
    assert stale.status_code == 412, "what a change is decided by is read anew"
    assert api.get("/api/deployments").json()["version"] == 4
