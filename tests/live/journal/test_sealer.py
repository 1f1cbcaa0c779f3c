"""Finished logs are sealed in order, and what fails is tried again and told once."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from quantgod.live.journal import sealer as sealing
from quantgod.live.journal.notices import JournalNotice
from quantgod.live.journal.sealer import Sealer
from quantgod.live.journal.sealing import SealError, SealResult, SealStopped
from quantgod.live.journal.segments import Segment

ONE, TWO, THREE = (Segment("RAW", 1, number) for number in (1, 2, 3))


class Seals:
    """What was sealed, and who is asked to wait or to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[Segment] = []
        self.failing: dict[Segment, Exception] = {}
        self.began = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.notices: list[JournalNotice] = []
        monkeypatch.setattr(sealing, "seal", self)

    def __call__(self, folder: Path, segment: Segment, report: Any, stop: Any) -> SealResult:
        self.tried.append(segment)
        self.began.release()
        self.gate.wait(10)
        if stop.is_set():
            raise SealStopped(segment.name)
        if segment in self.failing:
            raise self.failing[segment]
        return SealResult(5, 0)

    def sealer(self, folder: Path, left: Iterable[Segment] = ()) -> Sealer:
        return Sealer(folder, left, self.notices.append)

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.began.acquire(timeout=10)


@pytest.fixture
def seals(monkeypatch: pytest.MonkeyPatch) -> Seals:
    monkeypatch.setattr(sealing, "RETRY_SECONDS", 0.005)
    return Seals(monkeypatch)


def test_what_was_left_is_sealed_first_in_order_and_told_and_what_comes_is_not(
    seals: Seals, tmp_path: Path
) -> None:
    sealer = seals.sealer(tmp_path, [TWO, ONE])
    sealer.take(THREE)
    sealer.close(10.0)
    assert seals.tried == [ONE, TWO, THREE]
    assert [notice.code for notice in seals.notices] == ["log_recovered"] * 2
    assert seals.notices[1].text.startswith(
        "RAW 000001-000002: 5 rows of an earlier session, in 0."
    )


def test_what_fails_is_told_once_and_tried_until_it_succeeds(seals: Seals, tmp_path: Path) -> None:
    seals.failing = {ONE: SealError("forgets"), TWO: OSError("no room")}
    sealer = seals.sealer(tmp_path)
    seals.gate.clear()
    for segment in (ONE, TWO, THREE):
        sealer.take(segment)
    seals.gate.set()
    seals.wait(9)
    assert sealer.troubles == {
        "RAW.000001-000001": "RAW 000001-000001: forgets",
        "RAW.000001-000002": "RAW 000001-000002: no room",
    }
    assert [notice.code for notice in seals.notices] == ["seal_failed"] * 2
    del seals.failing[ONE]
    seals.wait(4)
    assert list(sealer.troubles) == ["RAW.000001-000002"]
    seals.failing.clear()
    sealer.close(10.0)
    assert sealer.troubles == {}
    assert seals.tried.count(THREE) == 1
    assert len(seals.notices) == 2


def test_at_the_end_what_fails_is_tried_once_more_and_then_keeps_its_log(
    seals: Seals, tmp_path: Path
) -> None:
    seals.failing = {ONE: SealError("forgets")}
    sealer = seals.sealer(tmp_path, [ONE])
    seals.wait(1)
    ending = threading.Thread(target=sealer.close, args=(None,), daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()
    assert list(sealer.troubles) == ["RAW.000001-000001"]


def test_an_end_in_haste_stops_what_is_under_way_and_begins_nothing_more(
    seals: Seals, tmp_path: Path
) -> None:
    seals.gate.clear()
    sealer = seals.sealer(tmp_path, [ONE, TWO])
    seals.wait(1)
    ending = threading.Thread(target=sealer.close, args=(0.0,), daemon=True)
    ending.start()
    assert sealer._stop.wait(10)
    seals.gate.set()
    ending.join(10)
    assert not ending.is_alive()
    assert seals.tried == [ONE]
    assert seals.notices == []
    assert sealer.troubles == {}


def test_it_waits_for_work_without_asking_all_the_time(
    seals: Seals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once where a log is left; else as long as between two tries."""
    waits: list[float] = []
    look = Sealer._look

    def noted(self: Sealer, seconds: float) -> None:
        waits.append(seconds)
        look(self, seconds)

    monkeypatch.setattr(Sealer, "_look", noted)
    monkeypatch.setattr(sealing, "RETRY_SECONDS", 60.0)
    sealer = seals.sealer(tmp_path, [ONE])
    seals.wait(1)
    sealer.take(TWO)
    seals.wait(1)
    sealer.close(10.0)
    assert waits[0] == 0.0
    assert set(waits[1:]) == {60.0}
    assert len(waits) <= 4
