"""Control the speed of exchange time."""

from __future__ import annotations

import time

UNPACED = 1e5
"""From this speed on the market waits only for its clients, not for a clock."""


class Pace:
    """Exchange time at `speed` times real time, from the first call of `start`."""

    def __init__(self, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"speed: above 0 expected, got {speed}")
        self.speed = speed
        self.waits_for_clients = speed >= UNPACED
        self._origin = 0.0

    def start(self, now: int) -> None:
        """Set exchange time to `now` (ms)."""
        self._origin = time.monotonic() - now / 1000 / self.speed

    def seconds_until(self, ts: int) -> float:
        """Return the real seconds until `ts`; negative if it has passed."""
        if self.waits_for_clients:
            return 0.0
        return self._origin + ts / 1000 / self.speed - time.monotonic()
