"""Run the simulated exchange in a separate process beside the live runner."""

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
"""With fewer minutes of a simulated day left to play, the day starts again."""


class ExchangeError(RuntimeError):
    """The simulated exchange did not start, or failed."""


@contextmanager
def venue(settings: Settings) -> Iterator[FeedSettings]:
    """Yield the feed settings of `live.exchange`; a simulated exchange runs during the block."""
    if settings.live.exchange == "simulated":
        say(logging.INFO, "starting", "launching the simulated exchange")
        with simulated_exchange(settings) as feed:
            yield feed
    else:
        yield settings.live.feed


@contextmanager
def simulated_exchange(settings: Settings) -> Iterator[FeedSettings]:
    """Run the simulated exchange during the block; yield feed settings that point at it.

    It is stopped after the block, and stops itself when this process is gone. If it ends earlier,
    for example at its market's end, this process gets SIGTERM, which ends a session.

    Raises:
        ExchangeError: if it does not start, with its output; if it failed, with its exit code.
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
                start_new_session=True,  # Ctrl-C goes to the runner, which then stops the exchange
                text=True,
            )
        leaving = threading.Event()
        watch = threading.Thread(target=_stop_with, args=(server, leaving), daemon=True)
        try:
            found: dict[str, Any] = _addresses(next(iter(server.stdout or ()), ""), errors)
            feed = settings.live.feed
            # The venue counts weight per clock minute; if its own time runs fast, it allows more.
            found["weight_limit"] = hurried(feed.weight_limit, settings.live.simulated.speed)
            watch.start()
            yield feed.model_copy(update=found)
            if server.poll():
                raise ExchangeError(f"the simulated exchange ended with code {server.returncode}")
        finally:
            leaving.set()
            _end(server)


def _played_until(settings: Settings) -> int:
    """Return the exchange time (ms) until which earlier sessions journaled the played day.

    So a restart continues where the last session ended, as at a real venue. After the day's end it
    starts again.
    """
    folder, simulate = settings.live.own_journal, settings.simulate
    if "BARS" not in tables(folder):
        return 0
    minutes = read_table(folder, "BARS", ["minute"])
    ends = start_ms(simulate) + simulate.days * MS_PER_DAY
    until = (max(minutes["minute"].to_pylist(), default=-1) + 1) * MS_PER_MINUTE
    return until if until < ends - LEFT_MINUTES * MS_PER_MINUTE else 0


def _stop_with(server: subprocess.Popen[str], leaving: threading.Event) -> None:
    """Stop this process like a signal when the exchange has ended."""
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
