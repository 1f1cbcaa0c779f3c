"""One client's socket: what it has subscribed to, what waits to be sent, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import deque
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from quantgod.live.exchange.rules import Rules
from quantgod.live.exchange.wire import answer, ping_frame, unanswerable

GOING_AWAY = WSCloseCode.GOING_AWAY
HEARD = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)

DAY_OVER = "a connection lasts 24 hours"


class Connection:
    """A client of `/public/stream`, or of a path where no depth is.

    `audience` is set once it listens to any depth.
    """

    def __init__(
        self, number: int, request: web.Request, rules: Rules, audience: asyncio.Event
    ) -> None:
        self.number, self._audience = number, audience
        self.is_public = request.path.startswith("/public")
        self._request, self._rules = request, rules
        self.socket = web.WebSocketResponse(
            timeout=1.0,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=rules.request_bytes,
        )
        self.names: list[str] = []
        self._streams: dict[str, list[bytes]] = {}
        self._outbox: deque[list[bytes] | bytes] = deque()
        self._wake = asyncio.Event()
        self._ending: tuple[int, str] | None = None
        self.opened = time.monotonic()
        self._pinged: int | None = None
        self._unanswered: float | None = None
        self.is_silent = False
        self.is_deaf = False
        self.answers_pings = True

    async def serve(self) -> web.WebSocketResponse:
        """Answer the upgrade, then send and listen until either side ends it."""
        await self.socket.prepare(self._request)
        writer = asyncio.create_task(self._write())
        try:
            await self._read()
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return self.socket

    @property
    def is_open(self) -> bool:
        """Whether events can still be sent here."""
        return self._ending is None and not self.socket.closed and self._transport is not None

    @property
    def is_listening(self) -> bool:
        """Whether this client is being served some depth."""
        return bool(self._streams) and self.is_open and not (self.is_silent or self.is_deaf)

    @property
    def symbols(self) -> frozenset[str]:
        """Whose depth this client has subscribed to."""
        return frozenset(self._streams)

    @property
    def waiting(self) -> int:
        """Messages that are not yet sent."""
        return len(self._outbox)

    def streams_of(self, symbol: str) -> list[bytes]:
        """Names under which this client hears of a symbol's depth."""
        return self._streams.get(symbol, []) if self.is_listening else []

    def offer(self, message: list[bytes] | bytes) -> None:
        """Queue a message, or raw frames that are written one by one.

        A client that lets too many pile up is cut, as the venue does.
        """
        if len(self._outbox) >= self._rules.outbox_frames:
            self.reset()
            return
        self._outbox.append(message)
        self._wake.set()

    def keep_alive(self, now: int) -> None:
        """Ping when it is time by exchange time (ms); cut a client that is old or never answers."""
        if self._pinged is None:
            self._pinged = now
        if time.monotonic() - self.opened > self._rules.lifetime_seconds:
            self.end(GOING_AWAY, DAY_OVER)
        waited = (now - self._pinged) / 1000
        if self._unanswered is not None:
            if (
                waited > self._rules.pong_seconds
                and time.monotonic() - self._unanswered > self._rules.pong_patience
            ):
                self.end(GOING_AWAY, "no pong")
        elif waited > self._rules.ping_seconds and self.answers_pings:
            self._pinged, self._unanswered = now, time.monotonic()
            self.offer([ping_frame(str(now).encode())])

    def subscribe(self, names: list[str]) -> None:
        """Add streams; a name that means nothing here is accepted and stays silent."""
        self._set_names([*self.names, *(name for name in names if name not in self.names)])

    def unsubscribe(self, names: list[str]) -> None:
        """Take streams away."""
        self._set_names([name for name in self.names if name not in names])

    def end(self, code: int, reason: str) -> None:
        """Send what waits, then close with the closing handshake; cut who lets that wait."""
        if self._ending is None:
            self._ending = code, reason
            self._wake.set()
            asyncio.get_running_loop().call_later(self._rules.closing_seconds, self.reset)

    def finish(self) -> None:
        """End of file with no closing handshake."""
        if transport := self._transport:
            transport.close()

    def reset(self) -> None:
        """Cut the connection (RST): what was on its way is lost."""
        if transport := self._transport:
            with contextlib.suppress(OSError, AttributeError):
                transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            transport.abort()

    @property
    def _transport(self) -> Any:
        transport = self._request.transport
        return None if transport is None or transport.is_closing() else transport

    def _set_names(self, names: list[str]) -> None:
        self.names = names
        self._streams = {}
        for name in names if self.is_public else []:
            symbol, _, kind = name.partition("@")
            if kind.partition("@")[0] == "depth":
                self._streams.setdefault(symbol.upper(), []).append(name.encode())
                self._audience.set()

    async def _write(self) -> None:
        """Send until told to end; a full socket makes this wait, and the outbox grow."""
        with contextlib.suppress(ConnectionError):
            while True:
                while self._outbox:
                    await self._send(self._outbox.popleft())
                if self._ending is not None:
                    code, reason = self._ending
                    await self.socket.close(code=code, message=reason.encode())
                    return
                self._wake.clear()
                await self._wake.wait()

    async def _send(self, message: list[bytes] | bytes) -> None:
        if isinstance(message, bytes):
            await self.socket.send_frame(message, WSMsgType.TEXT)
            return
        for frame in message:
            if transport := self._transport:
                transport.write(frame)
            await asyncio.sleep(0.001)

    async def _read(self) -> None:
        while True:
            message = await self.socket.receive()
            if message.type not in HEARD:
                break
            if not self.is_deaf:
                await self._hear(message)
        while self.is_deaf and self._transport:  # noqa: ASYNC110 - nothing else tells when it goes
            await asyncio.sleep(0.02)
        await self.socket.close()

    async def _hear(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PING and self.answers_pings:
            await self.socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            self._unanswered = None
        elif message.type is WSMsgType.TEXT:
            self.offer(self._request_answered(message.data))

    def _request_answered(self, text: str) -> bytes:
        try:
            request = json.loads(text)
            method, names = request["method"], request.get("params", [])
            request_id = request.get("id")
        except (ValueError, KeyError, TypeError, AttributeError):
            return unanswerable(None, "an object with method, params and id expected")
        if method == "LIST_SUBSCRIPTIONS":
            return answer(request_id, self.names)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return unanswerable(request_id, "params: a list of stream names expected")
        if method == "SUBSCRIBE":
            self.subscribe(names)
        elif method == "UNSUBSCRIBE":
            self.unsubscribe(names)
        else:
            return unanswerable(request_id, f"unknown method {method}")
        return answer(request_id)
