"""A short line of candles in front of one worker thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
Item = TypeVar("Item")


class Lane(Generic[Item]):
    """Answers one item after the other, oldest first, and never holds more than `limit`.

    When answers are slower than candles, the oldest one that waits is given up: a fresh candle is
    worth more than an old one, and the line stays as short as its answers are useful.

    Args:
        name: of the thread.
        limit: items that may wait.
        answer: called for each item, one at a time; `compute` runs what is slow.
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
        """Let an item wait for its turn."""
        if len(self._waiting) == self._limit:
            self._give_up(self._waiting.popleft())
        self._waiting.append(item)
        self._idle.clear()
        self._more.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is being answered."""
        return self._idle.is_set()

    async def idle(self) -> None:
        """Wait until nothing waits and nothing is being answered."""
        await self._idle.wait()

    async def compute(self, call: Callable[[], T]) -> T:
        """Run what is slow in the lane's thread."""
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
        """Let the thread end after what it is at."""
        self._worker.shutdown(wait=False, cancel_futures=True)
