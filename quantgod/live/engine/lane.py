"""Queue a few candles in front of one worker thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


class Lane(Generic[Item]):
    """Answers items one by one, oldest first, and holds at most `limit`.

    If answers are slower than candles, the oldest waiting one is given up: new candles are worth
    more than old ones.

    Args:
        name: of the thread.
        limit: items that may wait.
        answer: called for each item, one at a time; `compute` runs slow work.
        give_up: called for an item that will not be answered.
    """

    def __init__(
        self,
        name: str,
        limit: int,
        answer: Callable[[Item], Awaitable[None]],
        give_up: Callable[[Item], None],
    ) -> None:
        self._waiting: deque[Item] = deque()
        self._limit = limit
        self._answer = answer
        self._give_up = give_up
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=name)

    def put(self, item: Item) -> None:
        """Queue an item."""
        if len(self._waiting) == self._limit:
            self._give_up(self._waiting.popleft())
        self._waiting.append(item)
        self._idle.clear()
        self._more.set()

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is waiting or being answered."""
        return self._idle.is_set()

    async def idle(self) -> None:
        """Wait until nothing is waiting or being answered."""
        await self._idle.wait()

    async def compute(self, call: Callable[[], T]) -> T:
        """Run slow work in the lane's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                await self._answer(self._waiting.popleft())
            self._idle.set()

    def close(self) -> None:
        """Let the thread end after its present work."""
        self._worker.shutdown(wait=False)
