"""A plain client of the exchange: it joins stream and snapshot by the futures rule, and no more."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import websockets

from quantgod.market.book import OrderBook
from quantgod.simulation.exchange.server import Exchange

Json = dict[str, Any]


def stream_name(symbol: str) -> str:
    return f"{symbol.lower()}@depth@100ms"


@asynccontextmanager
async def listening(
    exchange: Exchange, *symbols: str, max_size: int | None = None
) -> AsyncIterator[websockets.ClientConnection]:
    async with _connect(exchange, symbols, max_size=max_size) as client:
        yield client


async def connect(exchange: Exchange) -> websockets.ClientConnection:
    """A client of BTCUSDT."""
    return await _connect(exchange, ("BTCUSDT",))


async def connect_idle(exchange: Exchange) -> websockets.ClientConnection:
    """A client of BTCUSDT whose buffers hold next to nothing, so that it must read to hear."""
    address = urlsplit(exchange.stream_url)
    narrow = socket.socket()
    narrow.setblocking(False)
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(narrow, (address.hostname, address.port))
    return await _connect(exchange, ("BTCUSDT",), sock=narrow, max_queue=1)


def _connect(exchange: Exchange, symbols: tuple[str, ...], **options: Any) -> websockets.connect:
    names = "/".join(stream_name(symbol) for symbol in symbols)
    options = {"max_size": None, "compression": None, "close_timeout": 0.05} | options
    return websockets.connect(f"{exchange.stream_url}?streams={names}", **options)


async def get_depth(exchange: Exchange, symbol: str, limit: int = 1000) -> Json:
    async with aiohttp.ClientSession() as session:
        status, _, body = await request_depth(session, exchange, symbol, limit)
    assert status == 200, body
    return dict(json.loads(body))


async def request_depth(
    session: aiohttp.ClientSession, exchange: Exchange, symbol: str | None, limit: Any = 1000
) -> tuple[int, Any, bytes]:
    asked = {"limit": str(limit)} | ({"symbol": symbol} if symbol is not None else {})
    async with session.get(exchange.depth_url, params=asked) as response:
        return response.status, response.headers, await response.read()


async def events(client: websockets.ClientConnection, count: int) -> list[Json]:
    """The next events, out of their wrapper."""
    return [json.loads(await receive(client))["data"] for _ in range(count)]


async def until_closed(client: websockets.ClientConnection) -> AsyncIterator[Json]:
    """Events until the exchange closes the connection in an orderly way."""
    async for message in client:
        yield json.loads(message)["data"]


async def receive(client: websockets.ClientConnection, seconds: float = 5) -> str:
    async with asyncio.timeout(seconds):
        return str(await client.recv())


class Joined:
    """A book by the futures rule: the first event reaches across the snapshot, each next `pu` fits.

    All levels of the snapshot and of later events are kept; what lies beyond the snapshot's worst
    prices is not known and left out of comparisons.
    """

    def __init__(self, snapshot: Json) -> None:
        self.bids = {float(p): float(s) for p, s in snapshot["bids"]}
        self.asks = {float(p): float(s) for p, s in snapshot["asks"]}
        self.known = min(self.bids), max(self.asks)
        self.last, self.is_joined = snapshot["lastUpdateId"], False

    def apply(self, event: Json) -> None:
        if not self.is_joined and event["u"] < self.last:
            return
        if self.is_joined:
            assert event["pu"] == self.last
        else:
            assert event["U"] <= self.last <= event["u"] or event["pu"] <= self.last <= event["u"]
        self.is_joined, self.last = True, event["u"]
        for side, changes in ((self.bids, event["b"]), (self.asks, event["a"])):
            for price, size in changes:
                if float(size):
                    side[float(price)] = float(size)
                else:
                    side.pop(float(price), None)

    def equals(self, truth: OrderBook) -> bool:
        low, high = self.known
        return _inside(self.bids, low, high) == _inside(truth.bids, low, high) and _inside(
            self.asks, low, high
        ) == _inside(truth.asks, low, high)


def _inside(side: dict[float, float], low: float, high: float) -> dict[float, float]:
    return {price: size for price, size in side.items() if low <= price <= high}
