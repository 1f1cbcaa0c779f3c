"""A Binance USDⓈ-M exchange on the loopback: real sockets, a true book, and faults where asked for.

The market opens with the first client that subscribes to depth, and plays from there whoever
listens. When it is over the exchange says so: in its log, in the reason that it closes its
connections with, and in its answer (503) to whoever comes after.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Sequence
from typing import Self

from aiohttp import WSCloseCode, web

from quantgod.live.exchange.connection import DAY_OVER, GOING_AWAY, Connection
from quantgod.live.exchange.faults import Fault
from quantgod.live.exchange.pace import Pace
from quantgod.live.exchange.rest import DepthRequests
from quantgod.live.exchange.rules import Rules
from quantgod.live.exchange.schedule import Injection, Schedule
from quantgod.live.exchange.spoiling import Message, Spoiling
from quantgod.live.exchange.truth import TrueEvent, Truth
from quantgod.live.exchange.weight import RequestWeight
from quantgod.live.exchange.wire import fragments, in_stream
from quantgod.market.book import OrderBook

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Events published before the clients' sockets get their turn."""

AHEAD = 256
"""Messages that may wait for a client where the market waits for its clients."""

FRAGMENTS = 3
"""Frames that a split message comes in."""

OVER = "the market of this exchange is over"
BROKEN = "the market of this exchange broke off"
REASON_LETTERS = 60


class Exchange:
    """The exchange; an async context manager that listens on 127.0.0.1 from entry to exit.

    Args:
        market: The true books and what happens to them.
        faults: What goes wrong on the way to the clients.
        seed: Of everything that is drawn here.
        speed: How many times as fast as a clock exchange time runs; from 1e5 on the market waits
            for its clients alone.
        port: 0 for any that is free.
        rules: The venue's limits.
    """

    def __init__(
        self,
        market: Truth,
        *,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        speed: float = 1.0,
        port: int = 0,
        rules: Rules | None = None,
    ) -> None:
        self.truth = market
        self.rules = rules or Rules()
        self.weight = RequestWeight(self.rules.weight_a_minute)
        self.connections_made = 0
        self.over = asyncio.Event()
        self._pace, self._port = Pace(speed), port
        self._open: set[Connection] = set()
        self._audience = asyncio.Event()
        self._schedule = Schedule(faults, market.symbols, seed)
        self._spoiling = Spoiling(self._schedule)
        self._rest = DepthRequests(market, self.weight, self._schedule, self._spoiling, seed)
        self._runner: web.AppRunner | None = None
        self._play: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/public/stream", self._stream)
        app.router.add_get("/market/stream", self._stream)
        app.router.add_get("/fapi/v1/depth", self._depth)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self._play = asyncio.create_task(self._play_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._play:
            self._play.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._play
        for connection in tuple(self._open):
            connection.finish()
        if self._runner:
            await self._runner.cleanup()

    @property
    def stream_url(self) -> str:
        """Where `?streams=btcusdt@depth@100ms/…` is to be added."""
        return f"ws://127.0.0.1:{self._port}/public/stream"

    @property
    def depth_url(self) -> str:
        """Where `?symbol=BTCUSDT&limit=1000` is to be added."""
        return f"http://127.0.0.1:{self._port}/fapi/v1/depth"

    def book(self, symbol: str) -> OrderBook:
        """The true book at `last_update_id(symbol)`; it changes with the next event."""
        return self.truth.book(symbol)

    def last_update_id(self, symbol: str) -> int:
        """`u` of the last event, as clients know it."""
        return self.truth.last_update_id(symbol) + self._spoiling.id_shift(symbol)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The connections that are up."""
        return tuple(self._open)

    @property
    def injected(self) -> list[Injection]:
        """The faults that have struck, in order."""
        return self._schedule.injected

    @property
    def pending(self) -> tuple[Fault, ...]:
        """The faults that have not struck yet."""
        return self._schedule.pending

    @property
    def snapshot_requests(self) -> int:
        """How often depth was asked for over REST."""
        return self._rest.count

    # The market

    async def _play_on(self) -> None:
        await self._audience.wait()
        self._pace.start(self.truth.now)
        played = 0
        try:
            while (ts := self.truth.upcoming) is not None:
                await self._wait(ts, played)
                self._publish(self.truth.advance())
                played += 1
        except Exception as error:
            self._close_for_good(f"{BROKEN}: {error}")
            raise
        for symbol, message in self._spoiling.release_all():
            self._send(symbol, message)
        self._close_for_good(OVER)

    async def _wait(self, ts: int, played: int) -> None:
        """Until it is `ts`; the sockets get their turn also where that is past."""
        if self._spoiling.hurry:
            self._pace.start(ts)
        seconds = self._pace.seconds_until(ts)
        if seconds > 0 or played % AT_ONCE == 0:
            await asyncio.sleep(max(seconds, 0.0))
        if self._pace.waits_for_clients:
            await self._wait_for_clients()

    async def _wait_for_clients(self) -> None:
        """Until somebody listens, and all that listen have room; who stands still is cut."""
        since, room = time.monotonic(), min(AHEAD, self.rules.outbox_frames)
        while True:
            listening = [one for one in self._open if one.is_listening]
            full = [one for one in listening if one.waiting >= room]
            if listening and not full:
                return
            if full and time.monotonic() - since > self.rules.stall_seconds:
                for connection in full:
                    connection.reset()
            await asyncio.sleep(0.001)

    def _publish(self, event: TrueEvent) -> None:
        symbol, number = event.change.symbol, self.truth.played(event.change.symbol)
        hearers = [one for one in self._open if one.streams_of(symbol)]
        for message in self._spoiling.messages(event, number, is_heard=bool(hearers)):
            self._send(symbol, message)
        if hearers:
            for fault in self._schedule.strikes("stream", symbol, number, self.truth.now):
                for connection in hearers:
                    _strike(fault, connection)
        for connection in tuple(self._open):
            connection.keep_alive(self.truth.now)

    def _send(self, symbol: str, message: Message) -> None:
        for connection in tuple(self._open):
            for stream in connection.streams_of(symbol):
                connection.offer(_shaped(message, stream))

    def _close_for_good(self, why: str) -> None:
        """Say so to all; a closing frame has room for the reason's first words."""
        at = dt.datetime.fromtimestamp(self.truth.now / 1000, dt.UTC).isoformat()
        log.warning("%s (exchange time %s)", why, at)
        self.over.set()
        for connection in tuple(self._open):
            connection.end(GOING_AWAY, why[:REASON_LETTERS])

    def _gone(self) -> web.Response:
        return web.json_response({"code": -1016, "msg": OVER}, status=503)

    # Requests

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.over.is_set():
            return self._gone()
        self.connections_made += 1
        connection = Connection(self.connections_made, request, self.rules, self._audience)
        names = request.query.get("streams", "")
        connection.subscribe([name for name in names.split("/") if name])
        if fault := self._strikes_new(connection):
            if fault.name == "unavailable":
                return web.Response(status=503)
            connection.is_silent = True
        self._open.add(connection)
        try:
            return await connection.serve()
        finally:
            self._open.discard(connection)

    def _strikes_new(self, connection: Connection) -> Fault | None:
        if not connection.is_public:
            return None
        symbols = [one for one in self.truth.symbols if one in connection.symbols]
        symbols = symbols or list(self.truth.symbols)
        played = [self.truth.played(symbol) for symbol in symbols]
        return self._schedule.strike_one("accept", symbols, played, self.truth.now)

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        if self.over.is_set():
            return self._gone()
        return await self._rest.answer(request)


def _shaped(message: Message, stream: bytes) -> bytes | list[bytes]:
    """A message as its stream wraps it."""
    payload = in_stream(stream, message.data)
    if message.shape == "split":
        return fragments(payload, FRAGMENTS)
    return payload[: len(payload) // 2] if message.shape == "cut" else payload


def _strike(fault: Fault, connection: Connection) -> None:
    """A fault of a connection that is up."""
    match fault.name:
        case "half_open":
            connection.is_deaf = True
        case "missed_pings":
            connection.answers_pings = False
        case "eof":
            connection.finish()
        case "abrupt":
            connection.reset()
        case "closed":
            connection.end(WSCloseCode.OK, "")
        case "day_cut":
            connection.end(GOING_AWAY, DAY_OVER)
