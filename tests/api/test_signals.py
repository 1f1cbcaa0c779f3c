"""What a live session has journaled, while it goes on journaling."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from quantgod.api.journal import LATE_MINUTES, Follower, Which
from quantgod.contracts.panel import Panel, Vote
from quantgod.live.engine.journal_rows import bar_row, votes_row
from quantgod.live.journal import BARS, SIGNALS, VOTES, Journal
from quantgod.settings import JournalSettings
from tests.api.serving import Served, served
from tests.later import later
from tests.live.engine.answering import Version, minute_of, minute_without
from tests.live.journal.writer_process import row
from tests.registry.shelves import NAME, Shelf

SETTINGS = JournalSettings(
    flush_seconds=0.02, sync_seconds=0.2, seal_minutes=60.0, buffer_rows=1_000
)
FIRST = 29_000_000
"""2025-02-19 21:20 UTC."""


def said(minute: int, symbol: str = "BTCUSDT", role: str = "Production") -> dict[str, Any]:
    own = {"symbol": symbol, "role": role, "action": "BUY", "base_sell": math.nan}
    return row("SIGNALS", minute) | own


def voted(minute: int, version: int = 2, role: str = "Production") -> dict[str, Any]:
    """What two members said, of which one is absent in the first minute."""
    place, nan = minute - FIRST, math.nan
    near = Vote("near", (0.2, 0.3, 0.5), 0.5, nan, 0.25 + place, 1.0)
    far = Vote("far", (nan, nan, nan), nan, nan, 0.75, 0.0, "cold: 3 of the 9 rows")
    if place:
        far = Vote("far", (0.1, 0.3, 0.6), 0.6, 0.001, 0.75, 0.0)
    panel = Panel(minute, (near, far), "BUY", 1.0, 0.9, True)
    return votes_row("BTCUSDT", role, Version(version, name=NAME), panel, None)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Ten minutes of two symbols, with a shadow for one: sealed, and two of them only logged.

    One has members, and the third minute has no row.
    """
    each = ("BTCUSDT", "Production"), ("BTCUSDT", "Challenger"), ("ETHUSDT", "Production")
    rows = [said(FIRST + n, *who) for n in range(10) for who in each]
    votes = [voted(FIRST + n) for n in range(10)]
    closed = [minute_without(FIRST + n) if n == 2 else minute_of(FIRST + n) for n in range(10)]
    bars = [bar_row("BTCUSDT", one) for one in closed]
    tables = {"BARS": BARS, "VOTES": VOTES, "SIGNALS": SIGNALS}
    each_table = (("BARS", bars, 2), ("VOTES", votes, 2), ("SIGNALS", rows, 6))
    with Journal(tmp_path / "journal", tables, SETTINGS) as sealed:
        for table, made, left in each_table:
            for one in made[:-left]:
                sealed.append(table, one)
    with Journal(tmp_path / "journal", tables, SETTINGS) as live:
        for table, made, left in each_table:
            for one in made[-left:]:
                live.append_now(table, one).result(10)
        yield live


def test_without_a_journal_there_is_none_to_tell_of(api: Served) -> None:
    for path in ("/api/signals/latest", "/api/signals"):
        answer = api.get(path)
        assert answer.status_code == 404 and answer.json()["code"] == "no_journal"
    assert api.get("/api/health").json()["signal_age_seconds"] is None


def test_the_newest_minute_is_told_of_each_symbol_and_role(api: Served, journal: Journal) -> None:
    newest = api.get("/api/signals/latest").json()
    assert [(one["symbol"], one["role"]) for one in newest] == [
        ("BTCUSDT", "Challenger"), ("BTCUSDT", "Production"), ("ETHUSDT", "Production"),
    ]  # fmt: skip
    assert {one["datetime"] for one in newest} == {"2025-02-19T21:29:00Z"}
    kept = said(FIRST + 9)
    names = ("prob_sell", "uncertainty", "action", "version", "class", "in_set_buy", "latency_ms")
    assert {name: newest[1][name] for name in names} == {name: kept[name] for name in names}
    assert newest[1]["base_sell"] is None, "JSON has no number that is none"
    (one,) = api.get("/api/signals/latest", symbol="ETHUSDT").json()
    assert one["symbol"] == "ETHUSDT"
    assert api.get("/api/signals/latest", symbol="XRPUSDT").json() == []
    age = api.get("/api/health").json()["signal_age_seconds"]
    assert age == pytest.approx(time.time() - 60 * (FIRST + 10), abs=30)


def test_a_simulated_sessions_signal_is_as_old_as_its_own_clock_says(
    shelf: Shelf, tmp_path: Path, journal: Journal
) -> None:
    with served(tmp_path, live__exchange="simulated") as api:
        assert api.get("/api/health").json()["signal_age_seconds"] == 0
        journal.append_now("BARS", bar_row("BTCUSDT", minute_of(FIRST + 12))).result(10)
        assert api.get("/api/health").json()["signal_age_seconds"] == 180
        journal.close()
        with Journal(tmp_path / "journal", {"BARS": BARS}, SETTINGS) as later:
            later.append_now("BARS", bar_row("BTCUSDT", minute_of(FIRST))).result(10)
            assert api.get("/api/health").json()["signal_age_seconds"] is None


def test_a_stretch_of_time_is_told_in_pages_of_whole_minutes(api: Served, journal: Journal) -> None:
    asked = {"since": "2025-02-19T21:20:30Z", "until": "2025-02-19T22:24:00+01:00", "limit": 4}
    pages, minutes = 0, []
    while asked["since"] is not None:
        answer = api.get("/api/signals", **asked).json()
        told = [one["datetime"] for one in answer["signals"]]
        assert len(told) % 3 == 0, "no minute is cut"
        minutes += told
        pages, asked = pages + 1, asked | {"since": answer["following"]}
    assert pages == 3 and sorted(set(minutes)) == [f"2025-02-19T21:2{n}:00Z" for n in (1, 2, 3)]
    assert minutes == sorted(minutes) and len(minutes) == 9
    few = api.get("/api/signals", since="2025-02-19T00:00:00Z", limit=1, role="Challenger").json()
    assert len(few["signals"]) == 1 and few["following"] == "2025-02-19T21:21:00Z"
    newest = api.get("/api/signals").json()
    assert len(newest["signals"]) == 30, "of the day before the last journaled minute"
    after = api.get("/api/signals", since="2025-02-19T21:28:00Z").json()
    assert len(after["signals"]) == 6 and after["following"] is None


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": "2025-02-19T21:20:30"}, "query.since"), ({"limit": "0"}, "query.limit"),
        ({"symbol": "btc/usdt"}, "query.symbol"), ({"role": "xx"}, "query.role"),
        ({"typo": "1", "since": "x"}, "query.typo"),
        ({"since": "2025-02-19T21:20:00Z", "until": "2025-02-19T22:19:59+01:00"}, "query.since"),
        *later(
            ({"since": "5"}, "query.since"), ({"since": "9.3e-43"}, "query.since"),
            ({"until": "x"}, "query.until"), ({"limit": "1e9"}, "query.limit"),
            ({"role": "a b"}, "query.role"),
        ),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly_is_told_by_its_field(
    asked: dict[str, str], field: str, api: Served
) -> None:
    answer = api.get("/api/signals", **asked)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == [field]
    assert field in answer.json()["reason"] and "^" not in answer.json()["reason"]


def events(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """The events of a stream, as they come; a line is sent every 15 s, whatever happens."""
    event: dict[str, Any] = {}
    end = time.monotonic() + 40
    for line in answer.iter_lines(decode_unicode=True):
        assert time.monotonic() < end, "no event came"
        name, _, value = line.partition(": ")
        if not line and event:
            yield event
            event = {}
        elif name in ("event", "id", "data"):
            event[name] = json.loads(value) if name == "data" else value


def test_signals_are_told_as_they_are_journaled(api: Served, journal: Journal) -> None:
    address = f"{api.address}/api/signals/stream"
    with requests.get(
        address, {"symbol": "BTCUSDT"}, headers=api.bearer, stream=True, timeout=20
    ) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for at, symbol in ((10, "ETHUSDT"), (10, "BTCUSDT"), (9, "BTCUSDT"), (11, "BTCUSDT")):
            role = "Late" if at == 9 else "Production"
            journal.append_now("SIGNALS", said(FIRST + at, symbol, role)).result(10)
        told = events(answer)
        came = [next(told) for _ in range(3)]
    assert {one["event"] for one in came} == {"signal"}
    assert sorted(int(one["id"]) - FIRST for one in came) == [9, 10, 11], "also a late one"
    assert {one["data"]["symbol"] for one in came} == {"BTCUSDT"}
    with requests.get(
        address, headers=api.bearer | {"Last-Event-ID": str(FIRST + 10)}, stream=True, timeout=20
    ) as again:
        told = events(again)
        came = [next(told) for _ in range(3)]
    assert [int(one["id"]) - FIRST for one in came] == [10, 10, 11]
    refused = requests.get(address, headers=api.bearer | {"Last-Event-ID": "x"}, timeout=20)
    assert refused.json()["fields"][0]["field"] == "header.last-event-id"


def test_a_follower_waits_for_a_journal_and_tells_each_row_once(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "journal", Which(), None)
    assert follower.news() == []
    with Journal(tmp_path / "journal", {"SIGNALS": SIGNALS}, SETTINGS) as journal:
        journal.append_now("SIGNALS", said(FIRST)).result(10)
        assert [one["minute"] for one in follower.news()] == [FIRST]
        journal.append_now("SIGNALS", said(FIRST + 2 * LATE_MINUTES)).result(10)
        assert [one["minute"] for one in follower.news()] == [FIRST + 2 * LATE_MINUTES]
        assert follower.news() == []
