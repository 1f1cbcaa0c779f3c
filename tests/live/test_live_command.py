"""`live` as a person runs it: offline, on the simulated exchange, with a model from a registry."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from mlflow import MlflowClient
from rich.console import Console

from quantgod.archive.etl import run_etl
from quantgod.archive.store import StoredRows, read_metadata, read_rows, write_day
from quantgod.live.journal import read_table
from quantgod.live.runner import Outcome, run_live
from quantgod.settings import Settings, load_settings
from quantgod.simulation.archives import write_archives
from quantgod.simulation.exchange.archived import simulated_truth
from quantgod.simulation.exchange.server import Exchange
from tests.registry.conftest import NAME, Store, parts, registered, tracked
from tests.servers import free_port

__all__ = ["parts", "registered"]

CONFIG = Path("tests/live/live.yaml")
END_SECONDS = 90.0  # against a hang; `make soak` tells how long it takes, the goal is 5


@dataclass(frozen=True)
class Desk:
    """A promoted version, a store of bars, and where a session leaves what it makes."""

    store: Store
    bars: Path
    folder: Path

    def overrides(self) -> dict[str, str]:
        return {
            "live.history": str(self.bars),
            "live.journal": str(self.folder / "journal"),
            "live.copies": str(self.folder / "models"),
            "live.simulated.speed": "240",
            "tracking.outbox": str(self.folder / "outbox"),
            "registry.name": NAME,
        }

    def settings(self, **overrides: object) -> Settings:
        return load_settings(CONFIG, self.overrides() | overrides)

    def command(self, *arguments: str) -> list[str]:
        overrides = [f"--set={key}={value}" for key, value in self.overrides().items()]
        return [
            *(sys.executable, "-m", "steps.live", "--config", str(CONFIG)),
            *(*overrides, *arguments),
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "MLFLOW_TRACKING_URI": self.store.uri, "MLFLOW_RUN_ID": self.run()}

    def run(self) -> str:
        with mlflow.start_run(experiment_id=self.store.experiment) as run:
            return str(run.info.run_id)

    def rows(self, table: str) -> pa.Table:
        return read_table(self.folder / "journal", table)


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `etl` makes of the simulated archives; the exchange plays their last day."""
    folder, settings = tmp_path_factory.mktemp("market"), load_settings(CONFIG)
    write_archives(folder / "archives", settings.data.symbol, settings.simulate)
    run_etl(folder / "archives", folder / "bars" / "linear", settings.etl)
    return folder / "bars"


@pytest.fixture
def desk(registered: Store, bars: Path, tmp_path: Path):
    with tracked(registered.uri):
        MlflowClient().set_registered_model_alias(NAME, "Production", str(registered.number))
        yield Desk(registered, bars, tmp_path)


def test_it_signals_each_minute_and_ends_after_the_candles_that_were_asked_for(desk: Desk) -> None:
    done = _ended(desk.command("--max-candles", "4", "--log", "json"), desk.environment())
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {"loaded", "synced"} <= {line["code"] for line in told}

    bars, signals = desk.rows("BARS"), desk.rows("SIGNALS")
    with_row = bars.filter(pc.is_valid(bars["close"]))
    assert with_row.num_rows >= 4
    # The first minute of the stream is not whole; from the second on each row has its signal.
    assert signals["minute"].to_pylist() == with_row["minute"].to_pylist()
    assert np.all(np.diff(signals["minute"].to_numpy()) == 1)
    assert set(signals["role"].to_pylist()) == {"Production"}
    assert set(signals["version"].to_pylist()) == {desk.store.number}
    said = np.column_stack([signals[f"prob_{name}"] for name in ("sell", "neutral", "buy")])
    assert np.allclose(said.sum(axis=1), 1.0)
    assert not list((desk.folder / "journal").rglob("wal/*.arrows"))


@pytest.mark.long
def test_without_its_registry_it_goes_on_with_the_last_good_version(desk: Desk) -> None:
    """And with the same window."""
    done = _ended(desk.command("--max-candles", "4"), desk.environment())
    assert done.returncode == 0, done.stderr[-3000:]
    bars = desk.rows("BARS")
    nowhere = {**os.environ, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    without = _ended(desk.command("--max-candles", "2", "--log", "json"), nowhere)
    assert without.returncode == 0, without.stderr[-3000:]
    assert '"loaded_copy"' in without.stderr
    first, second = (_session(desk.rows("BARS"), number) for number in (1, 2))
    assert first == bars["minute"].to_pylist()
    assert first[-1] < second[0] <= first[-1] + 2, "the simulated day goes on where it stopped"
    assert len(_session(desk.rows("SIGNALS"), 2)) >= 2, "so does the window"


@pytest.mark.long
def test_a_signal_ends_it_within_seconds_with_all_sealed(desk: Desk) -> None:
    with subprocess.Popen(
        desk.command("--log", "json"), env=desk.environment(), stderr=subprocess.PIPE, text=True
    ) as live:
        assert live.stderr is not None
        _wait_for(live.stderr, "minute")
        children = psutil.Process(live.pid).children(recursive=True)
        live.send_signal(signal.SIGTERM)
        began = time.monotonic()
        rest = live.stderr.read()
        assert live.wait(timeout=60) == 0, rest[-3000:]
    assert time.monotonic() - began < END_SECONDS
    assert children, "the exchange is a process of its own"
    assert not [child for child in children if child.is_running()]
    assert desk.rows("SIGNALS").num_rows
    assert not list((desk.folder / "journal").rglob("wal/*.arrows"))
    run = MlflowClient().search_runs([desk.store.experiment], max_results=1)[0]
    assert run.info.status == "FINISHED"
    assert run.data.tags["quantgod.ended_by"] == "SIGTERM"
    assert run.data.params["version"] == f"{NAME} {desk.store.number}"
    assert "BTCUSDT/prob_buy" in run.data.metrics


@pytest.mark.long
def test_it_ends_well_when_the_simulated_market_is_over(desk: Desk) -> None:
    hurried = (
        "--set=simulate.cadence_ms=10000;simulate.changes=40",
        "--set=live.simulated.speed=1e9",
    )
    done = _ended(desk.command("--log", "json", *hurried), desk.environment())
    assert done.returncode == 0, done.stderr[-3000:]
    codes = [json.loads(line)["code"] for line in done.stderr.splitlines()]
    assert "exchange_ended" in codes
    assert codes[-1] == "ended"


@pytest.mark.long
def test_it_ends_with_an_error_when_its_exchange_dies(desk: Desk) -> None:
    """And has said before that its history, which lacks the last hour, helps it to nothing."""
    day = sorted(desk.bars.rglob("*.parquet"))[0]
    rows, short = read_rows(day), desk.folder / "short"
    parts = (part[:-60] for part in (rows.minutes, rows.features, rows.close, rows.book))
    kept = short / day.relative_to(desk.bars)
    write_day(kept, StoredRows(*parts), read_metadata(day), "snappy")
    command = desk.command("--log", "json", "--history", str(short))
    with subprocess.Popen(
        command, env=desk.environment(), stderr=subprocess.PIPE, text=True
    ) as live:
        assert live.stderr is not None
        _wait_for(live.stderr, "history_ended")
        (exchange,) = psutil.Process(live.pid).children()
        exchange.kill()
        rest = live.stderr.read()
        assert live.wait(timeout=60) == 1
    assert "exchange_ended" in rest
    assert "the simulated exchange ended with code -9" in rest


@pytest.mark.long
def test_a_restart_within_the_bridge_keeps_the_window(desk: Desk) -> None:
    """One exchange that goes on; the store ends too early for the second session."""
    settings = desk.settings(**{"live.max_candles": 7})

    async def both() -> tuple[Outcome, Outcome]:
        truth = simulated_truth(settings.live.symbols, settings.simulate)
        async with Exchange(truth, speed=60.0) as exchange:
            urls = {"stream_url": exchange.stream_url, "depth_url": exchange.depth_url}
            feed = settings.live.feed.model_copy(update=urls)
            quiet = Console(quiet=True)
            before = await run_live(settings, feed, quiet, lambda *_: None)
            few = desk.settings(**{"live.max_candles": 2})
            return before, await run_live(few, feed, quiet, lambda *_: None)

    before, after = asyncio.run(both())
    assert before.signals >= 7
    assert after.signals >= 2
    bars = desk.rows("BARS")
    minutes = bars.filter(pc.is_valid(bars["close"]))["minute"].to_numpy()
    breaks = np.diff(minutes) - 1
    assert breaks.max() > 0, "the restart took a minute at least"
    assert breaks.max() <= settings.etl.max_bridge_minutes
    assert desk.rows("SIGNALS")["minute"].to_pylist() == minutes.tolist()


def _session(table: pa.Table, number: int) -> list[int]:
    """The minutes that a session journaled."""
    minutes: list[int] = table.filter(pc.equal(table["session"], number))["minute"].to_pylist()
    return minutes


def _ended(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _wait_for(lines, code: str) -> None:
    for line in lines:
        if line.startswith("{") and json.loads(line)["code"] == code:
            return
    raise AssertionError(f"ended before {code}")
