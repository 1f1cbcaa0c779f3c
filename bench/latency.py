"""From a minute's close to its journaled signal, while a version takes over from another.

The floor is what no engine can do without: the version in place, asked in a thread about the very
rows of the minute, right after its signal is there. Beyond it are the window, the way between the
threads, and the journal. That a version takes over must not be felt: candles that close meanwhile
are held against the others.

How late the event loop is has a peer of its own. A loop beside any thread that computes in Python
waits until the interpreter makes that thread give way, every `sys.getswitchinterval()`. So the peer
is the same measurement beside one thread that only counts, before and after the session: answers
and a takeover may make the loop late, but not more than a second such thread would.

What waits for another thread is held by its median, and by the late end of both.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from bench.goal import Figure, Log, said
from quantgod.contracts import BOOK_LEVELS, FEATURES, SECOND_FIGURES, Floats
from quantgod.contracts.minute_rows import MinuteRows, as_frame
from quantgod.contracts.model_notices import ModelNotice
from quantgod.live.deployment.deployment import Deployment
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.question import Model
from quantgod.live.engine.window import Window
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
CANDLES, PACE_SECONDS, LOOK_SECONDS = 200, 0.02, 0.005
BUSY_SECONDS = 4.0
MOST_OF_ANSWER = 1.5
MOST_OF_LATE_ANSWER = 2.0
MOST_OF_CALM = 2.0
MOST_OF_BUSY_LOOP = 2.0
SWAP_SECONDS = 180.0
NAME, ALIAS = "bench", "Production"
NETWORKS = {"demo": "conf/demo.yaml", "full": "conf/full.yaml"}


def measure(log: Log) -> list[Figure]:
    """Latency and loop lag with the demo's network and the documents'."""
    figures = []
    for size, config in NETWORKS.items():
        with tempfile.TemporaryDirectory() as name:
            log(f"registering two versions of the {size} network")
            session = _Session(Path(name), config)
            log(f"closing {CANDLES} minutes; the second version takes over meanwhile")
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
        self._promoted_at = self._swapped_at = 0.0
        self._closed_at: list[float] = []
        self._alone_ms: list[float] = []
        _register_twice(folder, _package(folder, config, self._bars, self._settings))

    async def run(self, size: str) -> list[Figure]:
        """Answer while the second version is fetched, verified, warmed and takes over."""
        lag, busy = LoopLag(), LoopLag()
        deployment = Deployment(
            self._settings, SERIES.symbol, self._folder / "models", self._report
        )
        await deployment.start()
        tables = {"BARS": BARS, "SIGNALS": SIGNALS}
        await _beside_a_busy_thread(busy)
        with Journal(self._folder / "live", tables, self._settings.live.journaling) as journal:
            window = self._window()
            engine = Engine({NAME: window}, {NAME: deployment}, journal, self._report)
            parts = (engine.run(), deployment.run(), lag.run())
            running = [asyncio.ensure_future(part) for part in parts]
            await self._close_minutes(engine, window, deployment)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await _beside_a_busy_thread(busy)
        return self._figures(size, np.array(engine.latencies_ms), lag, busy)

    def _window(self) -> Window:
        window = Window(self._settings.etl.max_bridge_minutes)
        window.fill(MinuteRows(np.arange(WINDOW - 1), self._features[: WINDOW - 1]))
        return window

    async def _close_minutes(self, engine: Engine, window: Window, models: Deployment) -> None:
        """Close minutes until enough were answered and the swap is through."""
        begun = time.monotonic()
        while len(self._closed_at) < CANDLES or not self._swapped_at:
            if time.monotonic() - begun > SWAP_SECONDS:
                raise RuntimeError(f"no {CANDLES} candles and swap within {SWAP_SECONDS:g} s")
            if len(self._closed_at) == CANDLES // 4:
                self._promoted_at = time.monotonic()
                await asyncio.to_thread(_point_at, 2)
            self._closed_at.append(time.monotonic())
            minute = self._minute(WINDOW - 2 + len(self._closed_at))
            engine.closed(NAME, minute, self._closed_at[-1])
            while len(engine.latencies_ms) < len(self._closed_at):  # noqa: ASYNC110, no event tells
                await asyncio.sleep(LOOK_SECONDS)
            asked = models.champion(), window.newest(WINDOW)
            self._alone_ms.append(await asyncio.to_thread(_answer_ms, *asked))
            await asyncio.sleep(PACE_SECONDS)

    def _minute(self, minute: int) -> ClosedMinute:
        row = self._features[minute % len(self._features)]
        bids, asks = (
            [(100.0 + side * 0.1 * (level + 1), 1.0) for level in range(BOOK_LEVELS)]
            for side in (-1, 1)
        )
        bar = MinuteBar(minute, "", row, 100.0, np.full(len(SECOND_FIGURES), 0.1))
        return ClosedMinute(bar, bids, asks)

    def _report(self, notice: ModelNotice) -> None:
        if notice.level != "info" and notice.code != "unjudged":
            raise RuntimeError(f"{notice.code}: {notice.text}")
        if notice.code == "swapped":
            self._swapped_at = time.monotonic()

    def _figures(self, size: str, signal_ms: Floats, lag: LoopLag, busy: LoopLag) -> list[Figure]:
        alone_ms, closed_at = np.array(self._alone_ms), np.array(self._closed_at)
        meanwhile = (closed_at >= self._promoted_at) & (closed_at < self._swapped_at)
        p50, late = np.quantile(signal_ms, [0.5, 0.95])
        alone, alone_late = np.quantile(alone_ms, [0.5, 0.95])
        takeover, calm = np.median(signal_ms[meanwhile]), np.median(signal_ms[~meanwhile])
        lags = [one.quantile(0.99) * 1e3 for one in (lag, busy)]
        return [
            Figure(f"floor: an answer in process, {size} network, p50", float(alone), "ms"),
            Figure(
                f"minute close to journaled signal, over the answer in process, {size} network",
                p50 / alone,
                "x",
                at_most=MOST_OF_ANSWER,
                here=said(p50, "ms"),
            ),
            Figure(
                f"that, of both the late end (p95), {size} network",
                late / alone_late,
                "x",
                at_most=MOST_OF_LATE_ANSWER,
                here=said(late, "ms"),
            ),
            Figure(
                f"while a version takes over, over other minutes, {size} network",
                float(takeover / calm),
                "x",
                at_most=MOST_OF_CALM,
                here=said(takeover, "ms"),
            ),
            Figure(f"candles meanwhile, {size} network", int(meanwhile.sum())),
            Figure(f"promotion to swap, {size} network", self._swapped_at - self._promoted_at, "s"),
            Figure(f"peer: loop lag beside a busy thread, {size} network, p99", lags[1], "ms"),
            Figure(
                f"loop lag (p99), over that beside a busy thread, {size} network",
                lags[0] / lags[1],
                "x",
                at_most=MOST_OF_BUSY_LOOP,
                here=said(lags[0], "ms"),
            ),
        ]


async def _beside_a_busy_thread(lag: LoopLag) -> None:
    """Measure the loop's lag while a thread counts."""
    ended = threading.Event()

    def count() -> None:
        while not ended.is_set():
            sum(range(1_000))

    counting = asyncio.ensure_future(asyncio.to_thread(count))
    measuring = asyncio.ensure_future(lag.run())
    await asyncio.sleep(BUSY_SECONDS)
    measuring.cancel()
    ended.set()
    await counting


def _answer_ms(model: Model, rows: MinuteRows) -> float:
    """Milliseconds that a version takes for the newest minute of these rows."""
    begun = time.monotonic()
    model.predict(as_frame(rows))
    return (time.monotonic() - begun) * 1e3


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
