"""The ends of an engine: threads that end, and errors that are not lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest

from quantgod.live.engine.engine import Engine
from quantgod.live.engine.lane import Lane
from quantgod.live.engine.window import Window
from tests.live.engine.answering import (
    Deployed,
    Version,
    minute_of,
    minute_without,
    now,
    said_of,
    until,
)


class Kept:
    """A journal that keeps everything, unless it is `broken`."""

    def __init__(self, broken: BaseException | None = None) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.broken = broken

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        if self.broken is not None:
            raise self.broken
        self.rows.append(row)
        promise: Future[None] = Future()
        promise.set_result(None)
        return promise


def engine_of(journal: Any, models: Deployed, **options: Any) -> Engine:
    return Engine({"X": Window(5, kept=9)}, {"X": models}, journal, print, **options)


async def closed(engine: Engine, *minutes: int) -> None:
    for minute in minutes:
        engine.closed("X", minute_of(minute), now())
        await until(lambda: not engine._unanswered)


def test_what_ends_a_lane_ends_the_engine_by_its_error() -> None:
    async def play() -> None:
        engine = engine_of(Kept(KeyError("no such table")), Deployed(Version(1)))
        running = asyncio.create_task(engine.run())
        for minute in (1, 2):
            engine.closed("X", minute_of(minute), now())
        with pytest.raises(KeyError, match="no such table"):
            await asyncio.wait_for(running, 10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantgod.live.engine.engine.END_SECONDS", 0.01)
        asyncio.run(play())


def test_an_engine_that_ended_leaves_no_thread() -> None:
    before = set(threading.enumerate())

    async def play() -> None:
        engine = engine_of(Kept(), Deployed(Version(1), Version(2)))
        running = asyncio.create_task(engine.run())
        await closed(engine, 1, 2)
        await engine._shadows.idle()
        mine = {thread.name for thread in set(threading.enumerate()) - before}
        assert mine == {"champion_0", "challenger_0"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await until(lambda: not set(threading.enumerate()) - before)

    asyncio.run(play())


def test_the_state_tells_of_the_champion_and_of_the_last_minute() -> None:
    async def play() -> None:
        journal = Kept()
        engine = engine_of(journal, Deployed(Version(1), Version(2)))
        running = asyncio.create_task(engine.run())
        state = engine.symbols["X"]
        assert (state.last, state.said, state.version, state.latency_ms) == (None,) * 4
        await closed(engine, 1, 2, 3)
        await engine._shadows.idle()
        assert (state.said, state.version) == (said_of(3), 1)
        engine.closed("X", minute_without(4), now())
        assert state.last is not None
        assert state.last.bar.minute == 4
        assert state.said == said_of(3)
        roles = [(row["role"], row["minute"], row["version"]) for row in journal.rows]
        assert sorted(roles) == [
            *(("Challenger", minute, 2) for minute in (2, 3)),
            *(("Production", minute, 1) for minute in (2, 3)),
        ]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(play())


def test_a_champion_with_a_longer_window_than_before_says_how_much_it_lacks() -> None:
    async def play() -> None:
        models = Deployed(Version(1, window=2))
        engine = engine_of(Kept(), models)
        running = asyncio.create_task(engine.run())
        await closed(engine, 1, 2)
        models.now = Version(2, window=5)
        await closed(engine, 3)
        assert engine.symbols["X"].missing == 2
        engine.closed("X", minute_without(4), now())
        assert engine.symbols["X"].missing == 2
        await closed(engine, 5, 6)
        assert engine.symbols["X"].missing == 0
        assert models.now.asked == [6]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(play())


def test_a_lane_takes_as_many_as_may_wait_and_gives_up_the_oldest() -> None:
    async def play() -> None:
        answered, given_up = list[int](), list[int]()
        gate = asyncio.Event()

        async def answer(item: int) -> None:
            await gate.wait()
            answered.append(item)

        lane = Lane("lane", 2, answer, given_up.append)
        assert lane.is_idle
        lane.put(1)
        assert not lane.is_idle
        running = asyncio.create_task(lane.run())
        await asyncio.sleep(0)
        for item in range(2, 6):
            lane.put(item)
        assert given_up == [2, 3]
        gate.set()
        await asyncio.wait_for(lane.idle(), 10)
        assert answered == [1, 4, 5]
        lane.put(6)
        await asyncio.wait_for(lane.idle(), 10)
        assert answered == [1, 4, 5, 6]
        running.cancel()
        lane.close()

    asyncio.run(play())
