"""Run one WebSocket connection from opening to end, and detect silence."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from quantgod.archive.http_part import retry_after
from quantgod.live.feed.notices import StreamCode
from quantgod.settings import FeedSettings, without_passwords

CLOSE_SECONDS: Final = 1.0

TURN_SECONDS: Final = 0.002
"""After this time without a pause, other tasks of the event loop get a turn."""

REFUSALS: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT)
"""Binance's demand for a wait, and its answer if that was ignored."""


class StreamEnded(Exception):
    """A connection ended, or could not be opened.

    Attributes:
        code: its name among notices.
        is_refusal: the venue demands a wait, of `retry_after` seconds if given.
    """

    def __init__(self, code: StreamCode, detail: str) -> None:
        super().__init__(without_passwords(detail))
        self.code: StreamCode = code
        self.is_refusal = False
        self.retry_after: float | None = None


class Stream:
    """A connection that passes on messages in order.

    Attributes:
        opened: `time.monotonic()` of its opening; None before.
        since: the same as Unix time.
        heard: time of the last message per symbol; written by the reader of the messages.
    """

    def __init__(
        self,
        url: str,
        symbols: Iterable[str],
        settings: FeedSettings,
        on_open: Callable[[Stream], None],
        on_message: Callable[[Stream, bytes, float], None],
    ) -> None:
        names = "/".join(f"{symbol.lower()}@depth@100ms" for symbol in symbols)
        self.url = f"{url}?streams={names}"
        self.symbols = tuple(symbols)
        self.opened: float | None = None
        self.since: float | None = None
        self.heard: dict[str, float] = {}
        self._settings = settings
        self._on_open, self._on_message = on_open, on_message
        self._problem: StreamEnded | None = None
        self.task = asyncio.create_task(self._run())

    @property
    def ended(self) -> StreamEnded | None:
        """Return how it ended, or None while it is open.

        Raises:
            Exception: an exception of a receiver, which is not an end of the connection.
        """
        return self.task.result() if self.task.done() else None

    def silence(self, now: float) -> StreamEnded | None:
        """Return the failure if the whole connection is silent at `now` (monotonic), or None."""
        if self.opened is None:
            return None
        if not self.heard:
            return self._never_heard(now - self.opened)
        quiet = now - max(self.heard.values())
        if quiet <= self._settings.silent_seconds:
            return None
        return StreamEnded("silence", f"no depth for {quiet:.1f} s")

    def silent_symbols(self, now: float) -> list[str]:
        """Return symbols that are silent while others are not."""
        if self.opened is None:
            return []
        patience = self._settings
        return [
            symbol
            for symbol in self.symbols
            if now - self.heard.get(symbol, self.opened)
            > (patience.silent_seconds if symbol in self.heard else patience.first_message_seconds)
        ]

    async def close(self) -> None:
        """Close it within two seconds."""
        self.task.cancel()
        await asyncio.wait({self.task})

    def _never_heard(self, waited: float) -> StreamEnded | None:
        if waited <= self._settings.first_message_seconds:
            return None
        return StreamEnded(
            "silent_stream",
            f"opened {waited:.1f} s ago, and not one depth message since: "
            "depth is served on /public; on another path a subscription is accepted, and silent",
        )

    async def _run(self) -> StreamEnded:
        connection = await self._open()
        if isinstance(connection, StreamEnded):
            return connection
        async with connection:
            self.opened, self.since = time.monotonic(), time.time()
            self._on_open(self)
            try:
                return await self._read(connection)
            except ConnectionClosed as error:
                return _end_of(error)

    async def _open(self) -> ClientConnection | StreamEnded:
        try:
            return await connect(
                self.url,
                compression=None,
                open_timeout=self._settings.connect_seconds,
                # Depth messages show activity better than pongs: see `silence`.
                ping_interval=None,
                close_timeout=CLOSE_SECONDS,
                max_size=self._settings.frame_bytes,
                max_queue=self._settings.frames,
            )
        except (OSError, WebSocketException, UnicodeError) as error:
            return _failure(error)

    async def _read(self, connection: ClientConnection) -> StreamEnded:
        turn_began = time.monotonic()
        while True:
            data = await connection.recv(decode=False)
            received = time.monotonic()
            self._on_message(self, data, received)
            if received - turn_began > TURN_SECONDS:
                await asyncio.sleep(0)
                turn_began = time.monotonic()


def _failure(error: OSError | WebSocketException | UnicodeError) -> StreamEnded:
    """Return why the connection could not be opened."""
    if isinstance(error, InvalidStatus):
        return _rejection(error)
    return StreamEnded(_failure_code(error), f"{type(error).__name__}: {error}")


def _failure_code(error: OSError | WebSocketException | UnicodeError) -> StreamCode:
    if isinstance(error, WebSocketException):
        return "handshake_failed"
    if isinstance(error, TimeoutError):
        return "connect_timeout"
    if isinstance(error, ssl.SSLError):
        return "tls_failed"
    # An invalid host name raises UnicodeError.
    is_name = isinstance(error, socket.gaierror | UnicodeError)
    return "dns_failed" if is_name else "connect_failed"


def _rejection(error: InvalidStatus) -> StreamEnded:
    response = error.response
    ended = StreamEnded("handshake_failed", f"HTTP {response.status_code} instead of a stream")
    ended.is_refusal = response.status_code in REFUSALS
    ended.retry_after = retry_after(response.headers) if ended.is_refusal else None
    return ended


def _end_of(error: ConnectionClosed) -> StreamEnded:
    """Return how an open connection ended; the first close frame tells which side closed it."""
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    if error.sent is not None and not error.rcvd_then_sent:
        too_big = error.sent.code == CloseCode.MESSAGE_TOO_BIG
        code: StreamCode = "oversized_frame" if too_big else "protocol_error"
        return StreamEnded(code, f"{error}{cause}")
    code = "connection_lost" if error.rcvd is None else "connection_closed"
    return StreamEnded(code, f"{error}{cause}")
