"""How fast exchange time runs."""

from __future__ import annotations

import time

UNPACED = 1e5
"""From this speed on the market waits for its clients alone, and for no clock."""


class Pace:
    """Exchange time, `speed` times as fast as a clock, from the first call of `start` on."""

    def __init__(self, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"speed: above 0 expected, got {speed}")
        self.speed = speed
        self.waits_for_clients = speed >= UNPACED
        self._origin = 0.0

    def start(self, now: int) -> None:
        """Exchange time is `now` (ms)."""
        self._origin = time.monotonic() - now / 1000 / self.speed

    def seconds_until(self, ts: int) -> float:
        """Real seconds until it is `ts`; below zero where that is past."""
        if self.waits_for_clients:
            return 0.0
        return self._origin + ts / 1000 / self.speed - time.monotonic()
