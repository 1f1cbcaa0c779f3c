"""The simulated exchange as a process of its own beside the live runner."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from quantgod.contracts import MS_PER_DAY, MS_PER_MINUTE
from quantgod.live.journal import read_table, tables
from quantgod.live.view.logs import say
from quantgod.settings import FeedSettings, Settings
from quantgod.simulation.archives import start_ms
from quantgod.simulation.exchange.rules import hurried

STOP_SECONDS = 3.0
LEFT_MINUTES = 10
"""Of a simulated day; with less to play, it begins anew."""


class ExchangeError(RuntimeError):
    """The simulated exchange did not start, or failed."""


@contextmanager
def venue(settings: Settings) -> Iterator[FeedSettings]:
    """Where the feed of `live.exchange` goes; the simulated one runs while the block does."""
    if settings.live.exchange == "simulated":
        say(logging.INFO, "starting", "launching the simulated exchange")
        with simulated_exchange(settings) as feed:
            yield feed
    else:
        yield settings.live.feed


@contextmanager
def simulated_exchange(settings: Settings) -> Iterator[FeedSettings]:
    """Run the simulated exchange; gives the feed's settings pointed at it.

    It is ended with the block, and ends itself when this process is gone. Where it ends before, by
    its market's end or otherwise, this process is sent SIGTERM, which a session takes as its end.

    Raises:
        ExchangeError: with its last words, when it does not come up; with its code, when it failed.
    """
    with tempfile.TemporaryDirectory(prefix="quantgod-exchange-") as folder:
        config = Path(folder) / "settings.yaml"
        values = settings.model_dump(mode="json")
        config.write_text(yaml.safe_dump(values), encoding="utf-8")
        command = [sys.executable, "-m", "quantgod.simulation.exchange", "--config", str(config)]
        command += ["--since", str(_played_until(settings))]
        errors = Path(folder) / "errors.txt"
        with errors.open("wb") as out:
            server = subprocess.Popen(
                [*command, "--parent", str(os.getpid())],
                stdout=subprocess.PIPE,
                stderr=out,
                start_new_session=True,  # Ctrl-C is for the runner, which then ends the exchange
                text=True,
            )
        leaving = threading.Event()
        watch = threading.Thread(target=_stop_with, args=(server, leaving), daemon=True)
        try:
            found: dict[str, Any] = _addresses(next(iter(server.stdout or ()), ""), errors)
            feed = settings.live.feed
            # The venue counts weight by the clock; where its own time runs fast, it allows more.
            found["weight_limit"] = hurried(feed.weight_limit, settings.live.simulated.speed)
            watch.start()
            yield feed.model_copy(update=found)
            if server.poll():
                raise ExchangeError(f"the simulated exchange ended with code {server.returncode}")
        finally:
            leaving.set()
            _end(server)


def _played_until(settings: Settings) -> int:
    """The exchange time (ms) until which earlier sessions journaled the day that is played.

    So a restart goes on where the session before it ended, as it would at a venue. Once the day is
    over it begins anew.
    """
    folder, simulate = settings.live.own_journal, settings.simulate
    if "BARS" not in tables(folder):
        return 0
    minutes = read_table(folder, "BARS", ["minute"])
    ends = start_ms(simulate) + simulate.days * MS_PER_DAY
    until = (max(minutes["minute"].to_pylist(), default=-1) + 1) * MS_PER_MINUTE
    return until if until < ends - LEFT_MINUTES * MS_PER_MINUTE else 0


def _stop_with(server: subprocess.Popen[str], leaving: threading.Event) -> None:
    """Stop this process as a signal would when the exchange is gone, by its market's end or not."""
    server.wait()
    if not leaving.is_set():
        say(logging.WARNING, "exchange_ended", "the simulated exchange has ended: so does this")
        os.kill(os.getpid(), signal.SIGTERM)


def _addresses(line: str, errors: Path) -> dict[str, str]:
    try:
        said = json.loads(line)
        return {"stream_url": said["stream_url"], "depth_url": said["depth_url"]}
    except (ValueError, KeyError, TypeError):
        why = errors.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise ExchangeError(f"the simulated exchange did not start: {line}{why}") from None


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.communicate()
