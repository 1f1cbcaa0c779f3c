"""How late the event loop is: what any message, ping or signal waits for at worst."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import numpy as np

INTERVAL_SECONDS: Final = 0.02
KEPT: Final = 3_000


class LoopLag:
    """Measures by sleeping: what a sleep takes too long is the loop's lag, in seconds."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Measure until cancelled; the newest minute counts."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._late.append(loop.time() - due)

    def quantile(self, share: float) -> float:
        """The lag in seconds that this share of the measurements stayed within; 0 before any."""
        return float(np.quantile(self._late, share)) if self._late else 0.0
