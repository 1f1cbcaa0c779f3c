"""What the drift monitor finds reaches the journal, also of a check still under way at the end."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from quantgod.live.drift.check import COLUMNS, DriftCheck, DriftRow
from quantgod.live.drift.monitor import DriftMonitor
from quantgod.live.drift.watch import DriftWatch
from quantgod.live.view.logs import logging_to
from quantgod.settings import load_settings
from tests.live.engine.answering import Version
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
