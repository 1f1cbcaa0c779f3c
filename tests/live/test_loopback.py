"""The simulated exchange beside a session: where it goes on, and how its end is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from quantgod.contracts import MS_PER_DAY
from quantgod.live import loopback
from quantgod.live.journal import BARS, Journal
from quantgod.live.loopback import (
    ExchangeError,
    _addresses,
    _end,
    _played_until,
    _stop_with,
    simulated_exchange,
    venue,
)
from quantgod.settings import Settings, load_settings
from quantgod.simulation.archives import start_ms

CONFIG = Path("tests/live/live.yaml")


def settings(folder: Path, **overrides: Any) -> Settings:
    return load_settings(CONFIG, {"live.journal": str(folder / "journal")} | overrides)


def test_a_session_goes_on_where_the_journaled_day_ends_until_ten_minutes_before_its_end(
    tmp_path: Path,
) -> None:
    given = settings(tmp_path)
    assert _played_until(given) == 0
    first = start_ms(given.simulate) // 60_000
    last = (start_ms(given.simulate) + given.simulate.days * MS_PER_DAY) // 60_000 - 1
    row = dict.fromkeys(BARS.names) | {"symbol": "BTCUSDT", "reason": "gap"}
    journaled = given.live.own_journal
    with Journal(journaled, {"BARS": BARS}, given.live.journaling):
        pass
    assert _played_until(given) == 0, "a session that ended before its first minute"
    for minute, until in (
        (first, first + 1),
        (first + 70, first + 71),
        (first + 3, first + 71),
        (last - 11, last - 10),
        (last - 10, 0),
        (last, 0),
    ):
        with Journal(journaled, {"BARS": BARS}, given.live.journaling) as journal:
            journal.append("BARS", row | {"minute": minute})
        assert _played_until(given) == until * 60_000


def test_a_real_venue_is_that_of_the_settings_and_a_simulated_one_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = settings(tmp_path, **{"live.exchange": "binance"})
    with venue(real) as feed:
        assert feed == real.live.feed
    started: list[Settings] = []

    def fake(given: Settings) -> Any:
        started.append(given)
        return pytest.MonkeyPatch.context()

    monkeypatch.setattr(loopback, "simulated_exchange", fake)
    with venue(settings(tmp_path)):
        assert len(started) == 1


@pytest.mark.parametrize(
    "line",
    ["", "no json", "[1]", "7", json.dumps({"stream_url": "a"}), json.dumps({"depth_url": "b"})],
)
def test_an_exchange_that_does_not_say_where_it_is_did_not_start(line: str, tmp_path: Path) -> None:
    errors = tmp_path / "errors.txt"
    errors.write_text("x" * 10 + "y" * 2_000)
    with pytest.raises(ExchangeError) as told:
        _addresses(line, errors)
    assert str(told.value) == f"the simulated exchange did not start: {line}{'y' * 2_000}"


def test_addresses_are_those_that_it_says() -> None:
    said = {"stream_url": "ws://a", "depth_url": "http://b", "more": 1}
    expected = {"stream_url": "ws://a", "depth_url": "http://b"}
    assert _addresses(json.dumps(said), Path("nowhere")) == expected


def process(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("is_leaving", [True, False])
def test_the_end_of_the_exchange_ends_the_session_unless_that_ends_it(
    is_leaving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(loopback.os, "kill", lambda *given: signals.append(given))
    leaving = threading.Event()
    if is_leaving:
        leaving.set()
    server: Any = type("Server", (), {"wait": lambda self: 0})()
    _stop_with(server, leaving)
    assert signals == ([] if is_leaving else [(os.getpid(), signal.SIGTERM)])


def test_an_exchange_is_stopped_and_one_that_does_not_listen_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    polite = "print(1, flush=True); import signal; signal.pause()"
    for code, ended, patience in ((polite, -15, 10.0), (deaf, -9, 0.05)):
        monkeypatch.setattr(loopback, "STOP_SECONDS", patience)
        server = process(code)
        assert server.stdout is not None
        server.stdout.readline()
        _end(server)
        assert server.returncode == ended


@pytest.mark.parametrize("code", [0, 3])
def test_an_exchange_that_failed_is_told_after_the_block_and_one_that_ended_is_not(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it was started, and that its group is its own, so that Ctrl-C passes it by."""
    said = json.dumps({"stream_url": "ws://a", "depth_url": "http://b"})
    started: list[tuple[list[str], dict[str, Any]]] = []
    popen = subprocess.Popen

    def start(command: list[str], **given: Any) -> subprocess.Popen[str]:
        started.append((command, given))
        script = f"print({said!r}, flush=True); import sys; sys.exit({code})"
        server = popen([sys.executable, "-S", "-c", script], **given)
        servers.append(server)
        return server

    servers: list[subprocess.Popen[str]] = []
    watches: list[threading.Thread] = []
    thread = threading.Thread

    def watched(**given: Any) -> threading.Thread:
        watches.append(thread(**given))
        return watches[-1]

    monkeypatch.setattr(loopback.subprocess, "Popen", start)
    monkeypatch.setattr(loopback.threading, "Thread", watched)
    monkeypatch.setattr(loopback, "_stop_with", lambda server, leaving: server.wait())
    given = settings(tmp_path, **{"live.simulated.speed": 120.0})

    def play() -> None:
        with simulated_exchange(given) as feed:
            assert (feed.stream_url, feed.depth_url) == ("ws://a", "http://b")
            assert feed.weight_limit > given.live.feed.weight_limit
            servers[0].wait()

    if code:
        with pytest.raises(ExchangeError, match="the simulated exchange ended with code 3"):
            play()
    else:
        play()
    said = "no address"
    with pytest.raises(ExchangeError, match="the simulated exchange did not start: no address"):
        play()
    command, options = started[0]
    assert command[1:4] == ["-m", "quantgod.simulation.exchange", "--config"]
    assert command[5:] == ["--since", "0", "--parent", str(os.getpid())]
    assert options["start_new_session"] is True
    assert watches[0].daemon
