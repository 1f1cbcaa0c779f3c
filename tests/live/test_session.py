"""Tasks that end together, and signals that end them."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from quantgod.live.session import run_together, stopped_by_signals
from quantgod.live.view.lag import LoopLag


async def forever(cleaned: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cleaned.append(name)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_part_and_each_cleans_up(number: signal.Signals) -> None:
    cleaned: list[str] = []

    async def live() -> list[str]:
        stop = asyncio.Event()
        with stopped_by_signals(stop) as came:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
            await run_together([forever(cleaned, "feed"), forever(cleaned, "engine")], stop)
        return came

    assert asyncio.run(live()) == [number.name]
    assert sorted(cleaned) == ["engine", "feed"]


def test_a_part_that_fails_ends_the_others_and_is_told() -> None:
    cleaned: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("the journal is gone")

    with pytest.raises(ValueError, match="the journal is gone"):
        asyncio.run(run_together([forever(cleaned, "feed"), fails()], asyncio.Event()))
    assert cleaned == ["feed"]


def test_a_part_that_is_done_does_not_end_the_others() -> None:
    order: list[str] = []

    async def part(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(name)

    asyncio.run(run_together([part("late", 0.1), part("early", 0.0)], asyncio.Event()))
    assert order == ["early", "late"]


def test_the_loops_lag_tells_of_a_blocked_loop() -> None:
    async def blocked() -> float:
        lag = LoopLag()
        task = asyncio.create_task(lag.run())
        for _ in range(10):
            await asyncio.sleep(0.03)
            busy_until = asyncio.get_running_loop().time() + 0.05
            while asyncio.get_running_loop().time() < busy_until:
                pass
        task.cancel()
        return lag.quantile(0.99)

    assert LoopLag().quantile(0.99) == 0.0
    assert asyncio.run(blocked()) > 0.01
