"""`GET /fapi/v1/depth`, with the venue's weights and the venue's errors."""

from __future__ import annotations

import random
from typing import Final

from aiohttp import web

from quantgod.live.exchange.truth import Truth
from quantgod.live.exchange.weight import Refused, RequestWeight
from quantgod.live.exchange.wire import depth_snapshot, refusal

WEIGHTS: Final = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
"""Request weight by `limit`."""

DEFAULT_LIMIT = 500


class BadRequest(ValueError):
    """A request that the venue refuses, with its error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class DepthRequests:
    """Answers requests for depth out of the truth."""

    def __init__(self, truth: Truth, weight: RequestWeight, draw: random.Random) -> None:
        self._truth, self._weight, self._draw = truth, weight, draw
        self.count = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The snapshot, or the venue's refusal."""
        self.count += 1
        try:
            symbol, limit = self._read(request)
        except BadRequest as error:
            return self._respond(400, refusal(error.code, str(error)))
        if refused := self._weight.charge(WEIGHTS[limit]):
            return self.refuse(refused)
        return self._respond(200, self.body(symbol, limit))

    def body(self, symbol: str, limit: int) -> bytes:
        """A true snapshot."""
        snapshot = self._truth.snapshot(symbol, limit, self._draw)
        return depth_snapshot(snapshot, self._truth.now)

    def refuse(self, refused: Refused) -> web.Response:
        """429 or 418."""
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
