"""Answer `GET /fapi/v1/depth` with the venue's weights and errors."""

from __future__ import annotations

import asyncio
import math
import random
from typing import Final

from aiohttp import web

from quantgod.market.binance import DepthSnapshot
from quantgod.simulation.exchange.faults import Fault
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.spoiling import Spoiling
from quantgod.simulation.exchange.truth import Truth
from quantgod.simulation.exchange.weight import Refusal, RequestWeight
from quantgod.simulation.exchange.wire import depth_snapshot, refusal

WEIGHTS: Final = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
"""Request weight by `limit`."""

DEFAULT_LIMIT, DEEPEST = 500, 1000


class BadRequest(ValueError):
    """The venue refuses a request, with an error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class DepthRequests:
    """Answers requests for depth from the true book, or spoilt by a fault."""

    def __init__(
        self, truth: Truth, weight: RequestWeight, schedule: Schedule, spoiling: Spoiling, seed: int
    ) -> None:
        self._truth, self._weight = truth, weight
        self._schedule, self._spoiling = schedule, spoiling
        self._draw = random.Random(seed)
        self._before = {symbol: self._before_opening(symbol) for symbol in truth.symbols}
        self.count = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Return the snapshot, or the venue's refusal."""
        self.count += 1
        try:
            symbol, limit = self._read(request)
        except BadRequest as error:
            return self._respond(400, refusal(error.code, str(error)))
        if refused := self._weight.charge(WEIGHTS[limit]):
            return self.refuse(refused)
        played, now = self._truth.played(symbol), self._truth.now
        if fault := self._schedule.strike_one("request", [symbol], [played], now):
            return await self._spoilt(fault, request, symbol, limit)
        return self._respond(200, self._body(symbol, limit))

    def _body(self, symbol: str, limit: int) -> bytes:
        return self._write(symbol, self._truth.snapshot(symbol, limit, self._draw))

    def _write(self, symbol: str, snapshot: DepthSnapshot) -> bytes:
        update_id = snapshot.last_update_id + self._spoiling.id_shift(symbol)
        sent = snapshot._replace(last_update_id=max(update_id, 1))
        return depth_snapshot(sent, self._truth.now, self._spoiling.step_ms)

    async def _spoilt(
        self, fault: Fault, request: web.Request, symbol: str, limit: int
    ) -> web.StreamResponse:
        body = self._body(symbol, limit)
        match fault.name:
            case "snapshot_failing":
                return self._respond(500, refusal(-1001, "Internal error; unable to process."))
            case "snapshot_stale":
                old = self._before[symbol]
                cut = old._replace(bids=old.bids[:limit], asks=old.asks[:limit])
                body = self._write(symbol, cut)
            case "snapshot_slow":
                await asyncio.sleep(fault.amount)
            case "snapshot_cut":
                return await self._cut(request, body)
            case "snapshot_half":
                body = body[: len(body) // 2]
            case "snapshot_thin" | "snapshot_empty":
                body = self._body(symbol, int(fault.amount))
            case "too_many_requests":
                return self.refuse(self._weight.refuse(429, math.ceil(fault.amount)))
            case "banned":
                return self.refuse(self._weight.refuse(418, math.ceil(fault.amount)))
        return self._respond(200, body)

    def _before_opening(self, symbol: str) -> DepthSnapshot:
        """Return a book older than all events."""
        opening = self._truth.snapshot(symbol, DEEPEST, self._draw)
        return opening._replace(last_update_id=self._truth.last_update_id(symbol) - 1)

    async def _cut(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Announce the whole body, send half of it, and close."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport:
            request.transport.close()
        return response

    def refuse(self, refused: Refusal) -> web.Response:
        """Return an answer 429 or 418."""
        text = f"Too many requests; current limit is {self._weight.limit} request weight a minute."
        response = self._respond(refused.status, refusal(-1003, text))
        response.headers["Retry-After"] = str(refused.retry_after)
        return response

    def _read(self, request: web.Request) -> tuple[str, int]:
        symbol, limit = request.query.get("symbol", ""), request.query.get("limit", DEFAULT_LIMIT)
        if not symbol:
            raise BadRequest(-1102, "Mandatory parameter 'symbol' was not sent, or is malformed.")
        if symbol not in self._truth.symbols:
            raise BadRequest(-1121, "Invalid symbol.")
        if not str(limit).isdecimal() or int(limit) not in WEIGHTS:
            raise BadRequest(-4021, f"{limit} is not valid depth limit.")
        return symbol, int(limit)

    def _respond(self, status: int, body: bytes) -> web.Response:
        response = web.Response(status=status, body=body, content_type="application/json")
        response.headers["X-MBX-USED-WEIGHT-1M"] = str(self._weight.used)
        return response
