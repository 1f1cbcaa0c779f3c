"""Who is let in, and who is not, through a real socket."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from quantgod.api.guard.guard import ON_EVERY_ANSWER, Guard
from quantgod.api.guard.token import hash_of
from quantgod.settings import ManageSettings
from tests.api.serving import Served, served
from tests.later import later
from tests.registry.shelves import Shelf


def routes_of(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, those of routers in routers included."""
    for one in routes:
        inner = getattr(one, "original_router", one)
        if hasattr(inner, "routes"):
            yield from routes_of(inner.routes)
        else:
            yield one


def test_every_route_is_behind_the_token_whatever_its_method(api: Served) -> None:
    @api.app.app.get("/added/later")
    def added() -> str:
        return "open"

    found = list(routes_of(api.app.app.routes))
    paths = {re.sub(r"\{[^}]*\}", "1", one.path) for one in found}
    assert {"/docs", "/openapi.json", "/added/later", "/api/deployments/promote"} <= paths
    described = set(api.get("/openapi.json").json()["paths"])
    assert described <= {one.path for one in found if isinstance(one, APIRoute)}
    for path in [*paths, "/", "/nowhere", "/api", "//docs", "/docs/", "/login/", "/LOGIN"]:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ODD"):
            answer = requests.request(method, api.address + path, timeout=10)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert api.get("/added/later").json() == "open"


def test_what_an_answer_carries(api: Served) -> None:
    for answer in (api.get("/api/health"), api.get("/nowhere"), requests.get(api.address)):
        assert {name: answer.headers[name] for name in ON_EVERY_ANSWER} == ON_EVERY_ANSWER
        allowed = [name for name in answer.headers if name.lower().startswith("access-control")]
        assert allowed == [], "no other site may read it"
        assert "server" not in answer.headers
    policy = ON_EVERY_ANSWER["Content-Security-Policy"]
    assert "unsafe" not in policy and policy.startswith("default-src 'none'; script-src 'self';")


@pytest.mark.parametrize(
    "given",
    ["Bearer", "Bearer ", "Bearer {}x", "Basic {}", "{}", "bearer: {}", "Bearer {} {}", "Bearer ß"],
)
def test_anything_but_the_token_is_refused(given: str, api: Served) -> None:
    said = given.format(api.token, api.token).encode("latin-1")
    answer = requests.get(f"{api.address}/api/health", headers={"Authorization": said})
    assert answer.status_code == 401
    assert api.token not in answer.text


def raw(api: Served, request: str) -> str:
    host, port = api.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(request.replace("\n", "\r\n").encode())
        return b"".join(iter(lambda: wire.recv(65_536), b"")).decode()


def test_two_tokens_or_two_hosts_are_one_too_many(api: Served) -> None:
    own = api.address.removeprefix("http://")
    bearer = f"Authorization: Bearer {api.token}"
    end = "Connection: close\n\n"
    right = raw(api, f"GET /api/health HTTP/1.1\nHost: {own}\n{bearer}\n{end}")
    assert right.startswith("HTTP/1.1 200")
    twice = raw(api, f"GET /api/health HTTP/1.1\nHost: {own}\n{bearer}\n{bearer}\n{end}")
    assert twice.startswith("HTTP/1.1 401")
    hosts = raw(api, f"GET /api/health HTTP/1.1\nHost: {own}\nHost: evil\n{bearer}\n{end}")
    assert hosts.split()[1] in ("400", "403")
    none = raw(api, f"GET /api/health HTTP/1.0\n{bearer}\n{end}")
    assert none.split()[1] == "403"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{}", 200), ("LOCALHOST:{}", 200), ("127.0.0.1.evil.example:{}", 403), ("", 403),
        *later(
            ("localhost:{}", 200), ("localhost", 200), ("localhost:9", 200),
            ("evil.example:{}", 403), ("localhost.:{}", 403), ("[::1]:{}", 403),
            ("0.0.0.0:{}", 403),
        ),
    ],
)  # fmt: skip
def test_a_name_that_another_site_made_up_is_refused(host: str, status: int, api: Served) -> None:
    said = {"Host": host.format(api.address.rpartition(":")[2]), **api.bearer}
    answer = requests.get(f"{api.address}/api/health", headers=said)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "unknown_host"


@pytest.mark.parametrize(
    ("origin", "status"),
    [("{}", 200), ("null", 403), ("http://evil.example", 403), ("http://127.0.0.1:9", 403),
     ("{}.evil.example", 403), ("", 403)],
)  # fmt: skip
def test_a_page_of_another_site_is_refused(origin: str, status: int, api: Served) -> None:
    said = {"Origin": origin.format(api.address), **api.bearer}
    answer = requests.get(f"{api.address}/api/health", headers=said)
    assert answer.status_code == status
    asked = requests.options(
        f"{api.address}/api/deployments/promote",
        headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert asked.status_code == 403


@pytest.fixture
def strict(shelf: Shelf, tmp_path: Path) -> Iterator[Served]:
    limits = {"manage__wrong_tokens": 3, "manage__lockout_seconds": 1.0}
    with served(tmp_path, **limits) as running:
        yield running


def test_wrong_tokens_lock_out_the_right_one_as_well_until_time_has_passed(strict: Served) -> None:
    address = f"{strict.address}/api/health"
    for _ in range(10):
        assert requests.get(address).status_code == 401, "to have none is not to guess"
    wrong = {"Authorization": "Bearer wrong"}
    assert [requests.get(address, headers=wrong).status_code for _ in range(3)] == [401] * 3
    answer = strict.get("/api/health")
    assert answer.status_code == 429 and answer.json()["code"] == "locked_out"
    assert int(answer.headers["Retry-After"]) >= 1
    page = requests.post(f"{strict.address}/login", {"token": strict.token}, allow_redirects=False)
    assert page.status_code == 429 and int(page.headers["Retry-After"]) >= 1
    assert '"alert">No token was looked at.' in page.text and "try again in 1 s" in page.text
    asyncio.run(asyncio.sleep(1.1))
    assert strict.get("/api/health").status_code == 200


def test_more_requests_than_a_second_may_have_are_told_to_wait(
    shelf: Shelf, tmp_path: Path
) -> None:
    with served(tmp_path, manage__requests_per_second=5) as api:
        answers = [api.get("/nowhere") for _ in range(12)]
        late = [one for one in answers if one.status_code == 429]
        assert answers[0].status_code == 404 and late
        assert {one.json()["code"] for one in late} == {"too_many_requests"}
        assert all("Retry-After" in one.headers for one in late)


def test_a_body_that_is_too_long_is_refused_in_one_piece_and_in_parts(api: Served) -> None:
    long = b"x" * (api.settings.manage.body_bytes + 1)
    for body in (long, iter([long[:1000], long[1000:]])):
        answer = requests.post(f"{api.address}/api/deployments/promote", body, headers=api.bearer)
        assert answer.status_code == 413 and answer.json()["code"] == "body_too_large"
    assert api.post("/api/deployments/rollback", {}).status_code == 428


def browser(api: Served) -> requests.Session:
    """A browser that has logged in."""
    session = requests.Session()
    form = {"token": api.token}
    answer = session.post(f"{api.address}/login", form, headers={"Origin": api.address})
    assert answer.status_code == 200 and answer.url == f"{api.address}/"
    return session


def test_a_browser_is_shown_a_form_and_gets_a_cookie_for_the_token(api: Served) -> None:
    html = {"Accept": "text/html,*/*;q=0.8"}
    page = requests.get(f"{api.address}/docs", headers=html)
    assert page.status_code == 401 and '<form method="post" action="/login">' in page.text
    wrong = requests.post(f"{api.address}/login", {"token": "wrong"}, allow_redirects=False)
    assert wrong.status_code == 401 and "Set-Cookie" not in wrong.headers
    assert '"alert">The token was wrong.' in wrong.text and "alert" not in page.text
    (style,) = re.findall(r'rel="stylesheet" href="([^"]+)"', wrong.text)
    assert requests.get(api.address + style).headers["Content-Type"].startswith("text/css")
    assert requests.get(f"{api.address}/page/files/script.js").status_code == 401
    given = requests.post(f"{api.address}/login", {"token": api.token}, allow_redirects=False)
    assert given.status_code == 303 and given.headers["Location"] == "/"
    cookie = given.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and api.token not in cookie
    assert browser(api).get(f"{api.address}/api/health").status_code == 200


def test_a_cookie_lets_no_other_page_in(api: Served) -> None:
    session, address = browser(api), f"{api.address}/api/deployments/rollback"
    own = {"Origin": api.address, "If-Match": api.tag()}
    assert session.post(address, json={}, headers=own).status_code == 409, "it got to the ledger"
    assert session.post(address, json={}, headers={"If-Match": "x"}).status_code == 401
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site}
        assert session.get(f"{api.address}/api/health", headers=headers).status_code == 401


def test_a_made_up_cookie_opens_nothing_and_locks_nobody_out(strict: Served) -> None:
    for _ in range(5):
        made_up = {"Cookie": "quantgod=made-up"}
        answer = requests.get(f"{strict.address}/api/health", headers=made_up)
        assert answer.status_code == 401
    assert strict.get("/api/health").status_code == 200


def test_no_token_is_in_any_log(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    @api.app.app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("on purpose")

    with caplog.at_level(logging.DEBUG):
        browser(api)
        api.get("/api/health")
        answer = api.get("/broken")
    assert answer.status_code == 500 and "on purpose" not in answer.text
    assert api.token not in caplog.text


def test_websockets_are_not_spoken(api: Served) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(api.app({"type": "websocket", "path": "/docs"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_what_is_still_worked_on_when_the_server_ends_is_answered() -> None:
    """Uvicorn cancels it after its grace, and would write a traceback into the log."""
    said: list[Any] = []

    async def works_long(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(60)

    async def asked() -> None:
        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/api/health", "headers": headers}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            said.append(message)

        task = asyncio.ensure_future(guard(scope, receive, send))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    token = "t" * 43
    guard = Guard(works_long, hash_of(token), ManageSettings())
    asyncio.run(asked())
    assert [one["type"] for one in said] == ["http.response.start", "http.response.body"]
    assert said[0]["status"] == 503 and b"the server ends" in said[1]["body"]
