"""What a session logs and journals of its books, connections and minutes."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.contracts import BookUpdate
from quantgod.live import listener as listening
from quantgod.live.feed.notices import Notice
from quantgod.live.journal import JournalNotice
from quantgod.live.listener import LiveListener, log_journal, told
from quantgod.live.view.logs import logging_to
from quantgod.market.book_bars import Effect
from quantgod.market.sync_events import (
    Change,
    Drop,
    Event,
    Extension,
    NeedSnapshot,
    OutOfSync,
    Sync,
)
from tests.live.engine.answering import minute_of, minute_without

UPDATE = BookUpdate("X", 77, True, 1, [(1.0, 2.0)], [(3.0, 4.0), (5.0, 6.0)])


class Heard:
    """A listener, what its engine and its journal were told, and what it logged."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.minutes: list[tuple[str, int, float]] = []
        self.rows: list[Mapping[str, Any]] = []
        self.listener = LiveListener(self, self)  # type: ignore[arg-type]
        monkeypatch.setattr(listening, "time", SimpleNamespace(time_ns=lambda: 5))

    def closed(self, symbol: str, closed: Any, received: float) -> None:
        self.minutes.append((symbol, closed.bar.minute, received))

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        assert table == "EVENTS"
        self.rows.append(row)

    def log(self, *events: Event, minutes: Any = (), notice: Notice | None = None) -> list[str]:
        out = io.StringIO()
        with logging_to("text", out):
            self.listener.taken("X", Effect([*events], [*minutes]), 9.0)
            if notice is not None:
                self.listener.notice(notice)
        return [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            OutOfSync("gap", "7 expected"),
            (logging.WARNING, "gap", None, "the book is withdrawn: 7 expected"),
        ),
        (
            OutOfSync("disconnected", "end"),
            (logging.INFO, "disconnected", None, "the book is withdrawn: end"),
        ),
        (Sync(UPDATE), (logging.INFO, "synced", 77, "the book stands, 1 bids and 2 asks known")),
        (
            Extension(UPDATE),
            (logging.INFO, "widened", 77, "a fresh snapshot widened the known range"),
        ),
        (
            NeedSnapshot("edge"),
            (logging.INFO, "need_snapshot", None, "a snapshot is asked for: edge"),
        ),
        (Change(UPDATE), None),
        (Drop("late", ""), None),
    ],
    ids=["gap", "disconnected", "synced", "widened", "need", "applied", "dropped"],
)
def test_events_are_told_by_what_they_are(event: Event, expected: object, heard: Heard) -> None:
    assert told(event) == expected
    lines = heard.log(event, Change(UPDATE))
    assert len(lines) == len(heard.rows) == (expected is not None)
    if expected is not None:
        _, code, ts, text = expected  # type: ignore[misc]
        assert lines[0].endswith(f"{code}: X: {text}")
        assert heard.rows == [
            {
                "received_ns": 5,
                "ts_ms": ts,
                "symbol": "X",
                "kind": "book",
                "code": code,
                "detail": text,
            }
        ]


def test_the_last_trouble_is_a_warning_or_worse(heard: Heard) -> None:
    heard.log(Sync(UPDATE), OutOfSync("disconnected", "end"))
    assert heard.listener.last_trouble == ""
    for level, shown in (("info", ""), ("warning", "why"), ("error", "worse")):
        text = shown or "fine"
        lines = heard.log(notice=Notice(level, "silence", ("X", "Y"), text))  # type: ignore[arg-type]
        assert lines == [f"{level:<7} silence: {text}"]
        assert heard.listener.last_trouble.endswith(f"silence: {shown}" if shown else "")
        assert bool(heard.listener.last_trouble) == bool(shown)
    assert heard.rows[-1] == {
        **{"received_ns": 5, "ts_ms": None, "symbol": "X,Y"},
        **{"kind": "connection", "code": "silence", "detail": "worse"},
    }


def test_minutes_reach_the_engine_and_those_without_a_row_are_told_in_one_line(
    heard: Heard,
) -> None:
    assert heard.log(minutes=[minute_of(60), minute_of(61)]) == []
    assert heard.minutes == [("X", 60, 9.0), ("X", 61, 9.0)]
    assert heard.log(minutes=[minute_of(62), minute_without(63, "gap")]) == [
        "info    no_row: X: 01-01 01:03 has no row: gap"
    ]
    two = [minute_without(64, "gap"), minute_of(65), minute_without(66, "silence")]
    assert heard.log(minutes=two) == [
        "info    no_row: X: 2 minutes from 01-01 01:04 to 01-01 01:06 have no row: gap, silence"
    ]
    three = [minute_without(minute, "gap") for minute in (1_440, 1_441, 1_442)]
    assert heard.log(minutes=three) == [
        "info    no_row: X: 3 minutes from 01-02 00:00 to 01-02 00:02 have no row: gap"
    ]
    assert len(heard.minutes) == 10


def test_a_journals_notice_is_logged_by_its_level() -> None:
    out = io.StringIO()
    with logging_to("text", out):
        log_journal(JournalNotice("error", "disk_full", "no room"))
    assert out.getvalue().split(" ", 1)[1] == "error   disk_full: no room\n"
