"""Count request weight like the venue: a limit per minute, then 429, then 418."""

from __future__ import annotations

import time
from typing import NamedTuple

MINUTE = 60.0
PATIENCE = 3
"""Number of requests during a `Retry-After` after which an address is banned."""

BAN_SECONDS = 120


class Refusal(NamedTuple):
    """A refusal: status 429 or 418, and its seconds."""

    status: int
    retry_after: int


class RequestWeight:
    """The used weight of one address; `early` counts requests during a `Retry-After`."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.early, self.total = limit, 0, 0, 0
        self._minute: int | None = None
        self._status, self._until = 429, 0.0
        self._ignored = 0

    def charge(self, weight: int) -> Refusal | None:
        """Count a request; return its refusal, if any."""
        now = time.monotonic()
        if int(now / MINUTE) != self._minute:
            self._minute, self.used = int(now / MINUTE), 0
        if now < self._until:
            return self._again(now)
        self.used += weight
        self.total += weight
        if self.used <= self.limit:
            return None
        return self.refuse(429, int(MINUTE - now % MINUTE) + 1)

    def refuse(self, status: int, seconds: int) -> Refusal:
        """Refuse all requests for this many seconds from now."""
        self._status, self._until, self._ignored = status, time.monotonic() + seconds, 0
        return Refusal(status, seconds)

    def _again(self, now: float) -> Refusal:
        self.early += 1
        self._ignored += 1
        if self._ignored >= PATIENCE and self._status == 429:
            return self.refuse(418, BAN_SECONDS)
        return Refusal(self._status, int(self._until - now) + 1)
