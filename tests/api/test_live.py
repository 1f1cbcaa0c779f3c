"""Votes, bars and the state of a live session, read from what it leaves on disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from quantgod.live.engine.journal_rows import bar_row
from quantgod.live.journal import BARS, SIGNALS, VOTES, Journal
from quantgod.live.view.status import Status, SymbolStatus
from quantgod.live.view.status_file import STATUS_FILE, keep_status, read_status
from tests.api.serving import Served
from tests.api.test_signals import FIRST, SETTINGS, journal, said, voted
from tests.live.engine.answering import minute_of

__all__ = ["journal"]

VOTE, BAR = "/api/ensemble/votes", "/api/bars"
STRETCH = {"since": "2025-02-19T21:20:00Z", "until": "2025-02-19T21:24:00Z"}
ONE = SymbolStatus("BTCUSDT", "synced for 5 s", True, 12.5, cold={"far": 3}, model="m", version=2,
                   minute=FIRST, close=100.5, verdicts={"near/sell": "drift"})  # fmt: skip
SAID = Status("quantgod live on binance", (ONE,), 1.5, "9 rows", "m 2", "see wss://me:pw@host")


def test_the_votes_on_the_newest_minute_are_told_by_member(api: Served, journal: Journal) -> None:
    (newest,) = api.get(f"{VOTE}/latest").json()
    assert (newest["datetime"], newest["vote"]) == ("2025-02-19T21:29:00Z", "BUY")
    assert (newest["version"], newest["session"], newest["should_trade"]) == (2, 2, True)
    near, far = newest["members"]
    assert near == {
        "model_type": "near", "absent": "", "sell": 0.2, "neutral": 0.3, "buy": 0.5,
        "confidence": 0.5, "expected_return": None, "weight": 9.25, "contribution": 1.0,
    }  # fmt: skip
    assert far["expected_return"] == 0.001
    assert api.get(f"{VOTE}/latest", role="Challenger").json() == []


def test_votes_and_bars_of_a_stretch_are_told_in_pages(api: Served, journal: Journal) -> None:
    votes = api.get(VOTE, **STRETCH, limit=3).json()
    assert [one["members"][0]["weight"] for one in votes["votes"]] == [0.25, 1.25, 2.25]
    assert votes["following"] == "2025-02-19T21:23:00Z"
    absent = votes["votes"][0]["members"][1]
    assert (absent["absent"], absent["buy"]) == ("cold: 3 of the 9 rows", None)
    bars = api.get(BAR, **STRETCH).json()
    assert [one["close"] for one in bars["bars"]] == [100.5, 100.5, None, 100.5]
    assert bars["bars"][2]["reason"] == "gap" and bars["following"] is None
    assert list(bars["bars"][0]) == ["datetime", "symbol", "close", "reason", "session"]
    (last,) = api.get(f"{BAR}/latest", symbol="BTCUSDT").json()
    assert last["datetime"] == "2025-02-19T21:29:00Z"
    assert api.get(f"{BAR}/latest", symbol="ETHUSDT").json() == []


def test_of_each_minute_the_latest_session_that_closed_it_is_told_of(
    api: Served, tmp_path: Path, journal: Journal
) -> None:
    """A later one plays the first minutes again, and gives a signal on one of them alone."""
    journal.close()
    folder = tmp_path / "journal"
    with Journal(folder, {"BARS": BARS, "VOTES": VOTES, "SIGNALS": SIGNALS}, SETTINGS) as later:
        for minute in range(FIRST, FIRST + 3):
            later.append_now("BARS", bar_row("BTCUSDT", minute_of(minute))).result(10)
        later.append_now("VOTES", voted(FIRST + 1, version=3)).result(10)
        later.append_now("SIGNALS", said(FIRST + 1)).result(10)
        for asked in ("", "later"):  # of a log, and then sealed
            told = api.get(VOTE, **STRETCH).json()["votes"]
            assert [(one["datetime"][14:16], one["version"]) for one in told] == [
                ("21", 3), ("23", 2),
            ]  # fmt: skip
            told = api.get(BAR, **STRETCH).json()["bars"]
            assert [one["session"] for one in told] == [3, 3, 3, 1]
            told = api.get("/api/signals", **STRETCH, symbol="BTCUSDT").json()["signals"]
            assert [(one["datetime"][14:16], one["role"]) for one in told] == [
                ("21", "Production"), ("23", "Production"), ("23", "Challenger"),
            ]  # fmt: skip
            others = api.get("/api/signals", **STRETCH, symbol="ETHUSDT").json()["signals"]
            assert len(others) == 4, "it has not played that symbol"
            if not asked:
                later.close()
    with Journal(folder, {"BARS": BARS}, SETTINGS) as last:
        for minute in range(FIRST, FIRST + 10):
            last.append_now("BARS", bar_row("BTCUSDT", minute_of(minute))).result(10)
        assert api.get("/api/signals/latest", symbol="BTCUSDT").json() == []
        assert api.get(f"{VOTE}/latest").json() == []


def test_a_session_tells_of_itself_each_second(api: Served, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    assert api.get("/api/live").json()["code"] == "absent" and read_status(folder) is None
    folder.mkdir()

    async def play() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(keep_status(lambda: SAID, folder), 0.3)

    asyncio.run(play())
    said = api.get("/api/live").json()
    assert said["is_running"] and 0 <= said["age_seconds"] < 30
    assert said["note"] == "see wss://me:***@host"
    (one,) = said["symbols"]
    assert (one["version"], one["cold"], one["lag_ms"]) == (2, {"far": 3}, 12.5)
    assert (one["minute"], one["close"], one["verdicts"]) == (FIRST, 100.5, {"near/sell": "drift"})
    assert [path.name for path in folder.iterdir()] == [STATUS_FILE]
    written = (folder / STATUS_FILE).read_text()
    (folder / STATUS_FILE).write_text(written.replace('"is_synced":true,', ""))
    other = api.get("/api/live")
    assert other.status_code == 404 and "start it anew" in other.json()["reason"]


WRITES = """
import asyncio, sys
from pathlib import Path
from quantgod.live.view.status import Status
from quantgod.live.view.status_file import keep_status
asyncio.run(keep_status(lambda: Status("killed", (), 0.0, ""), Path(sys.argv[1])))
"""


@pytest.mark.long
def test_a_session_that_was_killed_does_not_run(api: Served, tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", WRITES, str(folder)]) as live:
        try:
            while read_status(folder) is None:
                assert live.poll() is None
            assert api.get("/api/live").json()["is_running"]
        finally:
            os.kill(live.pid, signal.SIGKILL)
    said = api.get("/api/live").json()
    assert (said["title"], said["is_running"]) == ("killed", False)


@pytest.mark.parametrize("path", [VOTE, BAR])
def test_without_a_journal_there_are_none(path: str, api: Served) -> None:
    for asked in (path, f"{path}/latest"):
        assert api.get(asked).json()["code"] == "no_journal"
