"""The management API under load, beside a live session of an ensemble: neither may feel the other.

A simulated exchange, a session of the demo's ensemble (random weights, twelve minutes a minute),
the server, and who asks it, each in a process of its own. The session has to answer every minute
while 200 requests a second come: of signals, the ensemble, versions, gates and deployments.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from bench.asking import Asked
from bench.goal import Figure, Log
from bench.versions import GOLDEN, Market, Subject, register_versions
from quantgod.api.guard.token import new_token
from quantgod.archive.etl import run_etl
from quantgod.live.journal import JournalError, read_table
from quantgod.registry.promotion import Grounds, promote
from quantgod.settings import Settings
from quantgod.simulation.archives import write_archives
from quantgod.tracking.store import SESSIONS
from tests.registry.judging import judged
from tests.registry.shelves import NAME
from tests.servers import free_port

CONFIG = "conf/ensemble_demo.yaml"
RATE, SECONDS, SPEED = 200, 60, 12
PATHS = (
    "/api/signals/latest",
    "/api/health",
    "/api/ensemble/status",
    "/api/ensemble/models",
    "/api/deployments",
    "/api/versions",
    "/api/versions/1/gates",
)
MOST_P99_MS, MOST_LAG_MS, LEAST_CANDLES = 100.0, 20.0, 10
START_SECONDS, END_SECONDS = 240.0, 60.0


def managing(log: Log) -> list[Figure]:
    """Load the server for a minute, and look at answers and at the session's journal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log("simulating two days, and registering a judged ensemble")
        subject = _subject(folder)
        _prepare(folder, subject)
        own, port = subject.settings, free_port()
        token = new_token(own.manage.folder)
        log("starting a session and the server")
        address, journal = f"http://127.0.0.1:{port}", own.live.own_journal
        with (
            _step("live", subject, folder, "--exchange", "simulated"),
            _step("manage", subject, folder, "--port", str(port)),
        ):
            _until(lambda: len(_rows(journal, "SIGNALS")) > 1, "a second signal")
            _until(lambda: _is_whole(_ask(address, token, len(PATHS), 1)), "an answer of each kind")
            log(f"asking {RATE} times a second for {SECONDS} s")
            first = int(_rows(journal, "BARS")["minute"].max()) + 1
            came = _ask(address, token, RATE, SECONDS)
            last = int(_rows(journal, "BARS")["minute"].max())
        return [*_answers(came), *_session(own, first, last)]


def _subject(folder: Path) -> Subject:
    places = {
        "live.journal": "journal", "live.history": "bars", "live.copies": "copies",
        "manage.folder": "manage", "tracking.outbox": "outbox",
    }  # fmt: skip
    changes = {key: str(folder / name) for key, name in places.items()}
    return Subject(CONFIG, changes | {"simulate.days": 2, "live.simulated.speed": SPEED})


def _prepare(folder: Path, subject: Subject) -> None:
    """Store the bars before the session's, and put a judged version in place."""
    own = subject.settings
    write_archives(folder / "archives", own.data.symbol, own.simulate)
    run_etl(folder / "archives", folder / "bars" / own.data.market, own.etl)
    market = Market(GOLDEN, own.snapshots.shape)
    register_versions(folder, subject.packed(folder, market), 1, own)
    judged(folder)
    promote(NAME, 1, why=Grounds("a bench", force=True), tryout=lambda *_: None)


@contextmanager
def _step(name: str, subject: Subject, folder: Path, *options: str) -> Iterator[None]:
    """Run a step in a process of its own, which must not end before it is told to."""
    values = [f"--set={key}={value}" for key, value in subject.values.items()]
    command = [sys.executable, "-m", f"steps.{name}", "--config", CONFIG, *values, *options]
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"{name} has ended: {log.read_text(errors='replace')[-2000:]}")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(END_SECONDS)


def _ask(address: str, token: str, rate: int, seconds: int) -> list[Asked]:
    command = [sys.executable, "-m", "bench.asking", address, str(rate), str(seconds), *PATHS]
    done = subprocess.run(command, input=token, capture_output=True, text=True, check=True)
    return [Asked(*one) for one in json.loads(done.stdout)]


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come within {START_SECONDS:g} s")
        time.sleep(0.5)


def _is_whole(came: list[Asked]) -> bool:
    return all(one.status == HTTPStatus.OK for one in came)


def _rows(journal: Path, table: str) -> pd.DataFrame:
    try:
        rows: pd.DataFrame = read_table(journal, table).to_pandas()
    except JournalError:
        return pd.DataFrame()
    return rows


def _answers(came: list[Asked]) -> list[Figure]:
    ms = np.array([one.ms for one in came])
    failed = sum(one.status != HTTPStatus.OK for one in came)
    return [
        Figure(f"requests that failed, of {len(came):,} at {RATE} a second", failed, at_most=0),
        Figure("an answer, from when it was due, p50", float(np.quantile(ms, 0.5)), "ms"),
        Figure(
            "an answer, from when it was due, p99",
            float(np.quantile(ms, 0.99)),
            "ms",
            at_most=MOST_P99_MS,
        ),
        Figure("the slowest answer", float(ms.max()), "ms"),
    ]


def _session(settings: Settings, first: int, last: int) -> list[Figure]:
    """What the session did of the minutes from `first` to `last`, which closed under load."""
    journal, symbol = settings.live.own_journal, settings.data.symbol
    bars, signals = (
        rows[rows["minute"].between(first, last)]
        for rows in (_rows(journal, "BARS"), _rows(journal, "SIGNALS"))
    )
    candles = bars.loc[bars["close"].notna(), "minute"]
    client = MlflowClient()
    sessions = f"name = '{settings.tracking.experiment}-{SESSIONS}'"
    (kept,) = client.search_experiments(filter_string=sessions)
    (run,) = client.search_runs([kept.experiment_id])
    lag = client.get_metric_history(run.info.run_id, f"{symbol}/loop_lag_ms")
    return [
        Figure("candles meanwhile", len(candles), at_least=LEAST_CANDLES),
        Figure("candles without a signal", len({*candles} - {*signals["minute"]}), at_most=0),
        Figure(
            "minute close to signal, slowest, in time for what the backtest orders",
            float(signals["latency_ms"].max()),
            "ms",
            at_most=settings.backtest.latency_ms,
        ),
        Figure(
            "the session's loop lag, p99 of a minute, largest",
            max(one.value for one in lag if first <= one.step <= last),
            "ms",
            at_most=MOST_LAG_MS,
        ),
    ]
