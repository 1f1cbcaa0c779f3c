"""Run a Binance USDⓈ-M exchange on the loopback: real sockets, a true book, optional faults.

The market opens with the first client that subscribes to depth, and then plays on. When it is over,
the exchange says so in its log, in the close reason of its connections, and in its answer (503) to
later clients.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

from aiohttp import web

from quantgod.market.book import OrderBook
from quantgod.simulation.exchange.connection import Connection
from quantgod.simulation.exchange.faults import Fault
from quantgod.simulation.exchange.pace import Pace
from quantgod.simulation.exchange.play import OVER, Play
from quantgod.simulation.exchange.rest import DepthRequests
from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.schedule import Injection, Schedule
from quantgod.simulation.exchange.spoiling import Spoiling
from quantgod.simulation.exchange.subscriptions import Subscriptions
from quantgod.simulation.exchange.truth import Truth
from quantgod.simulation.exchange.weight import RequestWeight


class Exchange:
    """The exchange; an async context manager that listens on 127.0.0.1 from entry to exit.

    Args:
        market: The true books and their events.
        faults: Faults on the way to the clients.
        seed: Of all random choices.
        speed: Of exchange time, relative to real time; from 1e5 on the market waits only for its
            clients.
        port: 0 for any free one.
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
        self._port = port
        self._schedule = Schedule(faults, market.symbols, seed)
        self._spoiling = Spoiling(self._schedule)
        self._play = Play(market, Pace(speed), self.rules, self._schedule, self._spoiling)
        self._rest = DepthRequests(market, self.weight, self._schedule, self._spoiling, seed)
        self._runner: web.AppRunner | None = None
        self._playing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/public/stream", self._stream)
        app.router.add_get("/market/stream", self._stream)
        app.router.add_get("/fapi/v1/depth", self._depth)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self._playing = asyncio.create_task(self._play.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._playing:
            self._playing.cancel()
        for connection in self.connections:
            connection.finish()
        if self._runner:
            await self._runner.cleanup()
        if self._playing:
            with contextlib.suppress(asyncio.CancelledError):
                await self._playing

    @property
    def stream_url(self) -> str:
        """Return the stream's URL, without `?streams=btcusdt@depth@100ms/…`."""
        return f"ws://127.0.0.1:{self._port}/public/stream"

    @property
    def depth_url(self) -> str:
        """Return the URL of depth requests, without `?symbol=BTCUSDT&limit=1000`."""
        return f"http://127.0.0.1:{self._port}/fapi/v1/depth"

    def book(self, symbol: str) -> OrderBook:
        """Return the true book at `last_update_id(symbol)`; the next event changes it."""
        return self.truth.book(symbol)

    def last_update_id(self, symbol: str) -> int:
        """Return `u` of the last event, as sent to clients."""
        return self.truth.last_update_id(symbol) + self._spoiling.id_shift(symbol)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Return the open connections."""
        return tuple(self._play.open)

    @property
    def over(self) -> asyncio.Event:
        """Return an event that is set once the market is over."""
        return self._play.over

    @property
    def injected(self) -> list[Injection]:
        """Return the faults that have struck, in order."""
        return self._schedule.injected

    @property
    def pending(self) -> tuple[Fault, ...]:
        """Return the faults that have not struck yet."""
        return self._schedule.pending

    @property
    def snapshot_requests(self) -> int:
        """Return the number of REST requests for depth."""
        return self._rest.count

    def _gone(self) -> web.Response:
        return web.json_response({"code": -1016, "msg": OVER}, status=503)

    # Requests

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self.over.is_set():
            return self._gone()
        self.connections_made += 1
        is_public = request.path.startswith("/public")
        names = [name for name in request.query.get("streams", "").split("/") if name]
        subscriptions = Subscriptions(names, self._play.audience, has_depth=is_public)
        connection = Connection(request, self.rules, subscriptions)
        fault = self._strikes_new(subscriptions) if is_public else None
        if fault and fault.name == "unavailable":
            return web.Response(status=503)
        connection.is_silent = fault is not None
        self._play.open.add(connection)
        try:
            return await connection.serve()
        finally:
            self._play.open.discard(connection)

    def _strikes_new(self, subscriptions: Subscriptions) -> Fault | None:
        symbols = [one for one in self.truth.symbols if one in subscriptions.depth]
        symbols = symbols or list(self.truth.symbols)
        played = [self.truth.played(symbol) for symbol in symbols]
        return self._schedule.strike_one("accept", symbols, played, self.truth.now)

    async def _depth(self, request: web.Request) -> web.StreamResponse:
        if self.over.is_set():
            return self._gone()
        return await self._rest.answer(request)
