"""Measure the lag of the event loop, the worst wait of any message, ping or signal."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import numpy as np

INTERVAL_SECONDS: Final = 0.02
KEPT: Final = 3_000


class LoopLag:
    """Measures the loop's lag as the excess time of short sleeps, in seconds."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Measure until cancelled, keeping the newest minute."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            self._late.append(loop.time() - due)

    def quantile(self, share: float) -> float:
        """Return this quantile of the lag in seconds; 0 without measurements."""
        return float(np.quantile(self._late, share)) if self._late else 0.0
