"""The outermost layer: refuse every request that is not known to be a permitted one.

Nothing is open but the login form and its stylesheet. It stands around the whole
application, so that a route which somebody adds is behind it, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response

from quantgod.api.answers import refused
from quantgod.api.guard.limits import Clock, Lockout, RateLimit
from quantgod.api.guard.sessions import (
    FIRST_PAGE,
    LOGIN,
    STYLE,
    Sessions,
    login_form,
    posted_token,
)
from quantgod.api.guard.token import is_token
from quantgod.settings import ManageSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_SECONDS: Final = 10.0
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ON_EVERY_ANSWER: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser's form would name no origin
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another that answers whom it does not know itself.

    Args:
        app: gets the requests that are permitted, with their whole body.
        kept: hash of the token.
        settings: limits and host names.
        clock: in seconds.
    """

    def __init__(
        self, app: App, kept: str, settings: ManageSettings, clock: Clock = time.monotonic
    ) -> None:
        self.app = app
        self._kept, self._settings = kept, settings
        self._rate = RateLimit(settings.requests_per_second, clock)
        self._lockout = Lockout(settings.wrong_tokens, settings.lockout_seconds, clock)
        self._sessions = Sessions(clock)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answered(scope, receive, _with_headers(send))

    async def _answered(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer also a request that is still worked on when the server ends."""
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._http(scope, receive, sending)
        except asyncio.CancelledError:
            if has_begun:
                raise
            await refused(503, "ending", "the server ends: ask the next one")(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        said = Headers(scope=scope)
        asked = scope["method"], scope["path"]
        is_login, is_style = asked == ("POST", LOGIN), asked == ("GET", STYLE)
        is_open = is_login or is_style
        answer = self._from_where(said) or (None if is_open else self._who(scope, said))
        body = None if answer is not None else await self._body(receive)
        if body is None:
            answer = answer or _too_large(self._settings.body_bytes)
        elif is_login:
            answer = self._login(body)
        if answer is not None:
            await answer(scope, receive, send)
            return
        again = iter([{"type": "http.request", "body": body}])

        async def replay() -> Message:
            return next(again, None) or await receive()

        await self.app(scope, replay, send)

    def _from_where(self, said: Headers) -> Response | None:
        """Return what is said to a request by another name, from another page, or too many."""
        hosts = said.getlist("host")
        name = hosts[0].rpartition(":")[0] or hosts[0] if hosts else ""
        if len(hosts) != 1 or name.lower() not in self._settings.hosts:
            known = ", ".join(self._settings.hosts)
            return refused(403, "unknown_host", f"one of the hosts {known} expected")
        own = (f"http://{hosts[0]}", f"https://{hosts[0]}")
        if any(origin not in own for origin in said.getlist("origin")):
            return refused(403, "other_origin", "a page of this server's own expected")
        if wait := self._rate.wait():
            return _later(wait, "too_many_requests", "fewer requests a second expected")
        return None

    def _who(self, scope: Message, said: Headers) -> Response | None:
        """Return what is said to a request without the token or a session; None if it has one."""
        given = said.getlist("authorization")
        if not given and self._has_session(scope, said):
            return None
        if not given:
            return _unknown("a token expected: Authorization: Bearer TOKEN", said)
        scheme, _, token = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer":
            return _unknown("one header expected: Authorization: Bearer TOKEN", said)
        return self._wrong(token.strip(), said)

    def _has_session(self, scope: Message, said: Headers) -> bool:
        """Return whether a page of this server's own asks, within a session."""
        is_own = said.get("sec-fetch-site", "none") in ("same-origin", "none")
        is_safe = scope["method"] in SAFE or "origin" in said
        return is_own and is_safe and self._sessions.holds(said.get("cookie", ""))

    def _wrong(self, token: str, said: Headers) -> Response | None:
        """Return what is said to a wrong token, or to any while none is looked at."""
        if left := self._lockout.left:
            return _later(left, "locked_out", "too many wrong tokens: none is looked at for now")
        is_right = is_token(token, self._kept)
        self._lockout.count(is_right=is_right)
        return None if is_right else _unknown("the token is wrong", said)

    def _login(self, body: bytes) -> Response:
        wrong = self._wrong(posted_token(body), Headers())
        if wrong is not None:
            is_late = wrong.status_code == HTTPStatus.TOO_MANY_REQUESTS
            problem = "No token was looked at." if is_late else "The token was wrong."
            if left := self._lockout.left:
                problem += f" There were too many wrong ones: try again in {int(left) + 1} s."
            names = ("WWW-Authenticate", "Retry-After")
            kept = {name: wrong.headers[name] for name in names if name in wrong.headers}
            return HTMLResponse(login_form(problem), wrong.status_code, kept)
        answer = RedirectResponse(FIRST_PAGE, 303)
        answer.headers["Set-Cookie"] = self._sessions.begin()
        return answer

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the whole body; None if it is too long, or does not come."""
        parts, length, is_whole = [], 0, False
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while not is_whole:
                    message = await receive()
                    part = message.get("body", b"")
                    parts.append(part)
                    length += len(part)
                    is_whole = not message.get("more_body", False)
                    if length > self._settings.body_bytes:
                        return None
        except TimeoutError:
            return None
        return b"".join(parts)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in ON_EVERY_ANSWER.items():
                headers[name] = value
        await send(message)

    return sending


def _unknown(reason: str, said: Headers) -> Response:
    """Answer 401; to a browser with a form that takes the token."""
    headers = {"WWW-Authenticate": 'Bearer realm="quantgod"'}
    if "text/html" in said.get("accept", ""):
        return HTMLResponse(login_form(), 401, headers)
    return refused(401, "unauthorized", reason, headers)


def _later(seconds: float, code: str, reason: str) -> Response:
    return refused(429, code, reason, {"Retry-After": str(int(seconds) + 1)})


def _too_large(most: int) -> Response:
    reason = (
        f"a body of at most {most:,} bytes (manage.body_bytes) within {BODY_SECONDS:g} s expected"
    )
    return refused(413, "body_too_large", reason, {"Connection": "close"})
