"""Run tasks together until one requests the end, one fails, or a signal arrives."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)

SEAL_SECONDS = 3.0
"""Time limit of sealing at the end of a session; the next start seals the rest."""


async def run_together(parts: Sequence[Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run `parts` until `stop` is set, all have ended, or one fails; then cancel the rest.

    Raises:
        Exception: of the first failing part, after the others have ended.
    """
    stopping = asyncio.ensure_future(stop.wait())
    tasks = {asyncio.ensure_future(part) for part in parts}
    running = set(tasks)
    try:
        while running and not stopping.done():
            done, _ = await asyncio.wait({*running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            running -= done
            if any(task.exception() is not None for task in done if not task.cancelled()):
                break
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        ended = await asyncio.gather(*tasks, stopping, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[list[str]]:
    """Set `stop` on Ctrl-C and SIGTERM during the block; yield the names of received signals."""
    loop = asyncio.get_running_loop()
    came: list[str] = []

    def take(number: signal.Signals) -> None:
        came.append(number.name)
        stop.set()

    for number in STOPPING:
        loop.add_signal_handler(number, take, number)
    try:
        yield came
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
