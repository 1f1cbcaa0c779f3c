"""What the drift monitor finds reaches the journal, also of a check still under way at the end."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from quantgod.contracts import FEATURES
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.evaluation.drift import OUTPUTS, Reference, distribution
from quantgod.live.drift.check import COLUMNS, DriftCheck, DriftRow
from quantgod.live.drift.monitor import DriftMonitor
from quantgod.live.drift.watch import DriftWatch
from quantgod.live.view.logs import logging_to
from quantgod.settings import load_settings
from tests.live.engine.answering import Version, said_of
from tests.test_settings import FULL

SETTINGS = load_settings(FULL).live.drift


class Rows:
    """A journal that keeps what it is given, until it is closed."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, Any]] = []
        self.is_closed = False

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        assert not self.is_closed, f"a row of {table} after the end"
        self.kept.append(row)

    def append_now(self, table: str, row: Mapping[str, Any]) -> Future[None]:
        raise NotImplementedError(table)


def watch(rows: Rows) -> DriftWatch:
    return DriftWatch(DriftMonitor(SETTINGS), rows, lambda values, minute: None)


def two_hours(watching: DriftWatch) -> None:
    """The second row is of another hour: a check is due."""
    for minute in (59, 60):
        watching.on_row("X", minute, np.ones(9), None, Version(1))


def test_a_check_under_way_at_the_end_is_still_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, gate = Rows(), threading.Event()
    judge = DriftCheck.judge

    def slowly(check: DriftCheck) -> list[DriftRow]:
        gate.wait(20)
        return judge(check)

    monkeypatch.setattr(DriftCheck, "judge", slowly)

    async def play() -> None:
        watching = watch(rows)
        two_hours(watching)
        await asyncio.sleep(0.01)
        assert not rows.kept
        gate.set()
        await watching.finish()
        rows.is_closed = True
        await asyncio.sleep(0.01)

    asyncio.run(play())
    assert [row["name"] for row in rows.kept] == list(COLUMNS)


def test_a_check_that_fails_is_told_and_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(check: DriftCheck) -> list[DriftRow]:
        raise FloatingPointError("no such number")

    monkeypatch.setattr(DriftCheck, "judge", fail)
    out = io.StringIO()

    async def play() -> None:
        watching = watch(Rows())
        two_hours(watching)
        await watching.finish()

    with logging_to("text", out):
        asyncio.run(play())
    assert "drift_failed: X: the check of minute 60 failed: FloatingPointError" in out.getvalue()


class Watched:
    """A watch of one symbol, what it kept, tracked and said."""

    def __init__(self) -> None:
        self.rows, self.out = Rows(), io.StringIO()
        self.tracked: list[tuple[Mapping[str, float], int]] = []
        self.monitor = DriftMonitor(SETTINGS)
        self.adopted: list[object] = []
        adopt = self.monitor.adopt

        def noted(symbol: str, reference: Reference | None, members: Sequence[str]) -> None:
            self.adopted.append(reference)
            adopt(symbol, reference, members)

        self.monitor.adopt = noted  # type: ignore[method-assign]
        track = lambda values, minute: self.tracked.append((values, minute))  # noqa: E731
        self.watching = DriftWatch(self.monitor, self.rows, track)

    def run(self, *rows: tuple[int, float, Version], said: bool = True) -> str:
        async def play() -> None:
            for minute, value, version in rows:
                answer = said_of(minute) if said else None
                self.watching.on_row("X", minute, np.full(9, value), answer, version)
            await self.watching.finish()

        with logging_to("text", self.out):
            asyncio.run(play())
        return self.out.getvalue()


def known(mean: float = 0.0) -> Reference:
    one = distribution(np.linspace(-1, 1, 101), mean=mean, std=1.0)
    return Reference(dict.fromkeys(FEATURES, one), dict.fromkeys(OUTPUTS, one), "2024")


def test_a_version_brings_its_reference_once_and_an_outlier_is_kept_and_warned_of() -> None:
    watched, first, second = Watched(), known(), known(9.0)
    one, other = Version(1, reference=first), Version(2, reference=second)
    text = watched.run((1, 0.0, one), (2, 9.0, one), (3, 9.0, other), (4, 9.0, one), (5, 9.0, one))
    assert watched.adopted == [first, second, first]
    kept = [(row["minute"], row["verdict"], row["z"]) for row in watched.rows.kept]
    assert kept == [(minute, "outlier", 9.0) for minute in (2, 4, 5) for _ in range(9)]
    assert text.count("feature_far: X: ") == 9
    assert text.count("warning") == 9
    assert watched.tracked == []


@pytest.mark.parametrize(("shift", "level"), [(0.0, "info"), (30.0, "warning")])
def test_a_check_is_tracked_and_said_as_loudly_as_it_is_worth(shift: float, level: str) -> None:
    watched, version = Watched(), Version(1)
    draw = np.random.default_rng(3)
    count = SETTINGS.past_minutes + SETTINGS.window_minutes
    last = (count // 60 + 1) * 60
    rows = draw.normal(size=(count, 9))
    rows[-SETTINGS.window_minutes :, 0] += shift
    watched.monitor.remember("X", MinuteRows(np.arange(last - count, last), rows))
    text = watched.run((last, 0.0, version), said=False)
    ((values, minute),) = watched.tracked
    assert minute == last
    assert values["X/drift/features"] == (shift > 0)
    assert len(watched.rows.kept) == len(COLUMNS)
    (line,) = text.splitlines()
    assert f" {level} " in line
    assert watched.watching.words["X"] in line
    assert ("drift: body" in line) == (shift > 0)


def test_a_check_that_takes_too_long_at_the_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = threading.Event()
    monkeypatch.setattr("quantgod.live.drift.watch.END_SECONDS", 0.01)
    monkeypatch.setattr(DriftCheck, "judge", lambda check: gate.wait(20) and [])
    rows = Rows()

    async def play() -> None:
        watching = watch(rows)
        two_hours(watching)
        (task,) = watching._checks
        await watching.finish()
        rows.is_closed = True
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled()
        gate.set()

    asyncio.run(play())
    assert rows.kept == []


def test_an_end_without_a_check_waits_for_nothing() -> None:
    asyncio.run(watch(Rows()).finish())
