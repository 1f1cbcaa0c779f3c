"""Request weight as the venue counts it: so much a minute, then 429, and 418 for the deaf."""

from __future__ import annotations

import time
from typing import NamedTuple

MINUTE = 60.0
PATIENCE = 3
"""Requests inside a `Retry-After` after which an address is banned."""

BAN_SECONDS = 120


class Refusal(NamedTuple):
    """Status 429 or 418, and for how many seconds."""

    status: int
    retry_after: int


class RequestWeight:
    """What one address has used; `early` counts requests made inside a `Retry-After`."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.early, self.total = limit, 0, 0, 0
        self._minute = 0
        self._status, self._until = 429, 0.0
        self._ignored = 0

    def charge(self, weight: int) -> Refusal | None:
        """Take note of a request; what it is refused with, if it is."""
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
        """From now on, and for so long, nothing is answered."""
        self._status, self._until, self._ignored = status, time.monotonic() + seconds, 0
        return Refusal(status, seconds)

    def _again(self, now: float) -> Refusal:
        self.early += 1
        self._ignored += 1
        if self._ignored >= PATIENCE and self._status == 429:
            return self.refuse(418, BAN_SECONDS)
        return Refusal(self._status, int(self._until - now) + 1)
