"""Serve one client's socket: its queue of messages, its pings, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.subscriptions import Subscriptions
from quantgod.simulation.exchange.wire import ping_frame

GOING_AWAY = WSCloseCode.GOING_AWAY
HEARD = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)

DAY_OVER = "a connection lasts 24 hours"


class Connection:
    """A client's WebSocket, opened by `request`."""

    def __init__(self, request: web.Request, rules: Rules, subscriptions: Subscriptions) -> None:
        self.subscriptions = subscriptions
        self._request, self._rules = request, rules
        self.socket = web.WebSocketResponse(
            timeout=1.0,
            autoping=False,
            autoclose=False,
            compress=False,
            max_msg_size=rules.request_bytes,
        )
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
        """Answer the upgrade, then send and receive until either side closes."""
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
    def _is_open(self) -> bool:
        """Return whether events can still be sent."""
        return self._ending is None and not self.socket.closed and self._transport is not None

    @property
    def is_listening(self) -> bool:
        """Return whether this client has subscribed to depth."""
        is_served = self._is_open and not (self.is_silent or self.is_deaf)
        return is_served and bool(self.subscriptions.depth)

    @property
    def waiting(self) -> int:
        """Return the number of unsent messages."""
        return len(self._outbox)

    def streams_of(self, symbol: str) -> list[bytes]:
        """Return the stream names by which this client gets a symbol's depth."""
        return self.subscriptions.depth.get(symbol, []) if self.is_listening else []

    def offer(self, message: list[bytes] | bytes) -> None:
        """Queue a message, or raw frames to be written one by one.

        A client with too many unsent messages is cut off, as at the venue.
        """
        if len(self._outbox) >= self._rules.outbox_frames:
            self.reset()
            return
        self._outbox.append(message)
        self._wake.set()

    def keep_alive(self, now: int) -> None:
        """Ping when due by exchange time (ms); cut a client that is old or does not answer."""
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

    def end(self, code: int, reason: str) -> None:
        """Send the queue, then close with a handshake; cut a client that delays it."""
        if self._ending is None:
            self._ending = code, reason
            self._wake.set()
            asyncio.get_running_loop().call_later(self._rules.closing_seconds, self.reset)

    def finish(self) -> None:
        """End the file without a closing handshake."""
        if transport := self._transport:
            transport.close()

    def reset(self) -> None:
        """Reset the connection (RST): data in transit is lost."""
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

    async def _write(self) -> None:
        """Send the queue until the end; a full socket makes this wait while the queue grows."""
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
            self.offer(self.subscriptions.answer(message.data))
