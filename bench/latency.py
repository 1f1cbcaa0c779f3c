"""From a minute's close to its journaled signal, while a version takes over from another."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from bench.goal import Figure
from quantgod.contracts import BOOK_LEVELS, FEATURES
from quantgod.live.deployment.deployment import Deployment
from quantgod.live.deployment.model_notices import ModelNotice
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.window import Rows, Window
from quantgod.live.journal import BARS, SIGNALS, Journal
from quantgod.live.view.lag import LoopLag
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBar
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.versions import register
from quantgod.settings import Settings, load_settings
from tests.registry.conftest import tiny_auditor, tiny_network, tiny_reference
from tests.registry.shelves import SERIES
from tests.synthetic import synthetic_bars

WINDOW, GOLDEN = 720, 783
CANDLES, PACE_SECONDS = 100, 0.1
MOST_MILLISECONDS = 150.0
MOST_LAG = 20.0
SWAP_SECONDS = 60.0
NAME, ALIAS = "bench", "Production"
NETWORKS = {"demo": "conf/demo.yaml", "full": "conf/full.yaml"}

Log = Callable[[str], None]


def measure(log: Log) -> list[Figure]:
    """Latency and loop lag with the demo's network and the documents'."""
    figures = []
    for size, config in NETWORKS.items():
        with tempfile.TemporaryDirectory() as name:
            log(f"registering two versions of the {size} network")
            session = _Session(Path(name), config)
            log(f"closing {CANDLES} minutes and promoting the second version meanwhile")
            figures += asyncio.run(session.run(size))
    return figures


class _Session:
    """A store with two versions, a journal, and an engine that follows the alias."""

    def __init__(self, folder: Path, config: str) -> None:
        self._folder = folder
        self._bars = synthetic_bars(1_000, seed=3, signal=0.6)
        self._features = self._bars[list(FEATURES)].to_numpy()
        self._settings = load_settings(
            Path(config),
            {
                "registry.name": NAME,
                "registry.alias": ALIAS,
                "live.poll_seconds": 0.1,
                "live.unjudged": "warn",
            },
        )
        self._swapped_at = 0.0
        _register_twice(folder, _package(folder, config, self._bars, self._settings))

    async def run(self, size: str) -> list[Figure]:
        """Answer while the second version is fetched, verified, warmed and takes over."""
        lag = LoopLag()
        deployment = Deployment(
            self._settings, SERIES.symbol, self._folder / "models", self._report
        )
        await deployment.start()
        tables = {"BARS": BARS, "SIGNALS": SIGNALS}
        with Journal(self._folder / "live", tables, self._settings.live.journaling) as journal:
            engine = Engine({NAME: self._window()}, {NAME: deployment}, journal, self._report)
            parts = (engine.run(), deployment.run(), lag.run())
            running = [asyncio.ensure_future(part) for part in parts]
            promoted_at = await self._close_minutes(engine)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return self._figures(size, engine, lag, promoted_at)

    def _window(self) -> Window:
        window = Window(self._settings.etl.max_bridge_minutes)
        window.fill(Rows(np.arange(WINDOW - 1), self._features[: WINDOW - 1]))
        return window

    async def _close_minutes(self, engine: Engine) -> float:
        """Close minutes until enough were answered and the swap is through."""
        promoted_at = 0.0
        closed, begun = 0, time.monotonic()
        while closed < CANDLES or not self._swapped_at:
            if time.monotonic() - begun > SWAP_SECONDS:
                raise RuntimeError(f"no swap within {SWAP_SECONDS:g} s")
            if closed == CANDLES // 4:
                promoted_at = time.monotonic()
                await asyncio.to_thread(_point_at, 2)
            engine.closed(NAME, self._minute(WINDOW - 1 + closed), time.monotonic())
            closed += 1
            await asyncio.sleep(PACE_SECONDS)
        if len(engine.latencies_ms) != closed:
            raise RuntimeError(f"{closed} minutes closed, {len(engine.latencies_ms)} signals came")
        return promoted_at

    def _minute(self, minute: int) -> ClosedMinute:
        row = self._features[minute % len(self._features)]
        levels = [(100.0, 1.0)] * BOOK_LEVELS
        return ClosedMinute(MinuteBar(minute, "", row, 100.0), levels, levels)

    def _report(self, notice: ModelNotice) -> None:
        if notice.level != "info":
            raise RuntimeError(f"{notice.code}: {notice.text}")
        if notice.code == "swapped":
            self._swapped_at = time.monotonic()

    def _figures(self, size: str, engine: Engine, lag: LoopLag, promoted_at: float) -> list[Figure]:
        p50, p99 = np.quantile(engine.latencies_ms, [0.5, 0.99])
        name = f"minute close to signal, {size} network"
        lags = {share: lag.quantile(share) * 1e3 for share in (0.99, 1.0)}
        return [
            Figure(f"{name}, p50", float(p50), "ms"),
            Figure(f"{name}, p99", float(p99), "ms", at_most=MOST_MILLISECONDS),
            Figure(f"loop lag meanwhile, {size} network, p99", lags[0.99], "ms", at_most=MOST_LAG),
            Figure(f"loop lag meanwhile, {size} network, largest", lags[1.0], "ms"),
            Figure(f"promotion to swap, {size} network", self._swapped_at - promoted_at, "s"),
        ]


def _package(folder: Path, config: str, bars: pd.DataFrame, settings: Settings) -> Package:
    tiny_auditor().save(folder / "auditor")
    golden = GoldenRows(bars, GOLDEN, settings.etl.max_bridge_minutes)
    parts = tiny_network(bars, config), folder / "auditor", golden, tiny_reference(bars), SERIES
    return build_package(folder / "package", *parts)


def _register_twice(folder: Path, package: Package) -> None:
    uri = f"sqlite:///{folder}/mlflow.db"
    os.environ |= {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    mlflow.set_tracking_uri(uri)
    artifacts = str(folder / "artifacts")
    experiment = MlflowClient().create_experiment(NAME, artifact_location=artifacts)
    for _ in range(2):
        with mlflow.start_run(experiment_id=experiment):
            register(package, NAME, {})
    _point_at(1)


def _point_at(number: int) -> None:
    MlflowClient().set_registered_model_alias(NAME, ALIAS, str(number))
