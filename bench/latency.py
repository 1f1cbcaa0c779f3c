"""From a minute's close to its journaled signal, while a version takes over from another.

Of a network, and of an ensemble, whose votes are journaled before its signal is. The floor is what
no engine can do without: the version in place, asked in a thread about the very rows of the minute,
right after its signal is there, and before that the 112 features of the minute, if it takes them.
Beyond it are the way between the threads, the members' weights, and the journal. That a version
takes over must not be felt: candles that close meanwhile are held against the others.

How late the event loop is has a peer of its own. A loop beside any thread that computes in Python
waits until the interpreter makes that thread give way, every `sys.getswitchinterval()`. So the peer
is the same measurement beside one thread that only counts, before and after the session: answers
and a takeover may make the loop late, but not more than a second such thread would.

What waits for another thread is held by its median, and by the late end of both.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from bench.goal import Figure, Log, said
from bench.versions import DOCUMENTS, GOLDEN, Market, Subject, point_at, register_versions
from quantgod.contracts import Floats
from quantgod.contracts.minute_rows import as_frame
from quantgod.contracts.model_notices import ModelNotice
from quantgod.live.deployment.deployment import Deployment
from quantgod.live.engine.block import block_of
from quantgod.live.engine.engine import Engine
from quantgod.live.engine.feature_rows import source_row
from quantgod.live.engine.moving_weights import SymbolWeights
from quantgod.live.engine.question import Model
from quantgod.live.engine.window import Window
from quantgod.live.journal import Journal
from quantgod.live.runner import TABLES
from quantgod.live.view.lag import LoopLag
from quantgod.market.book_bars import ClosedMinute
from tests.registry.shelves import SERIES

CANDLES, MOST_CANDLES, PACE_SECONDS, LOOK_SECONDS = 200, 2_000, 0.02, 0.005
BUSY_SECONDS = 4.0
MOST_OF_ANSWER = 1.5
MOST_OF_LATE_ANSWER = 2.0
MOST_OF_CALM = 2.0
MOST_OF_BUSY_LOOP = 2.0
SUBJECTS = {
    "demo network": Subject("conf/demo.yaml", {"window.length": 720}),
    "full network": Subject("conf/full.yaml"),
    "demo ensemble": Subject("conf/ensemble_demo.yaml"),
    "full ensemble": Subject("conf/full.yaml", DOCUMENTS),
}


def measure(log: Log) -> list[Figure]:
    """Latency and loop lag with the networks and the ensembles of the demo and the documents."""
    figures = []
    for name, subject in SUBJECTS.items():
        with tempfile.TemporaryDirectory() as folder:
            log(f"registering two versions of the {name}")
            session = _Session(Path(folder), subject)
            log(f"closing {CANDLES} minutes; the second version takes over meanwhile")
            figures += asyncio.run(session.run(name))
    return figures


class _Session:
    """A store with two versions, a journal, and an engine that follows the alias."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        self._folder, self._settings = folder, subject.settings
        self._bridge = self._settings.etl.max_bridge_minutes
        self._market = Market(GOLDEN + MOST_CANDLES, self._settings.snapshots.shape)
        self._promoted_at = self._swapped_at = 0.0
        self._closed_at: list[float] = []
        self._alone_ms: list[float] = []
        register_versions(folder, subject.packed(folder, self._market), 2, self._settings)

    async def run(self, name: str) -> list[Figure]:
        """Answer while the second version is fetched, verified, warmed and takes over."""
        lag, busy = LoopLag(), LoopLag()
        symbol, copies = SERIES.symbol, self._folder / "models"
        await _beside_a_busy_thread(busy)
        journaling = self._settings.live.journaling
        with Journal(self._folder / "live", TABLES, journaling) as journal:
            weights = SymbolWeights(symbol, journal.folder, self._bridge)
            told = self._settings, symbol, copies, self._report
            deployment = Deployment(*told, loaded=weights.remember)
            await deployment.start()
            window, alone = (self._market.window(self._bridge, GOLDEN) for _ in range(2))
            engine = Engine(
                {symbol: window}, {symbol: deployment}, journal, self._report,
                weights={symbol: weights},
            )  # fmt: skip
            parts = (engine.run(), deployment.run(), lag.run())
            running = [asyncio.ensure_future(part) for part in parts]
            await self._close_minutes(engine, deployment, alone)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await _beside_a_busy_thread(busy)
        return self._figures(name, np.array(engine.latencies_ms), lag, busy)

    async def _close_minutes(self, engine: Engine, models: Deployment, alone: Window) -> None:
        """Close minutes until enough were answered and the swap is through."""
        while len(self._closed_at) < CANDLES or not self._swapped_at:
            if len(self._closed_at) == MOST_CANDLES:
                raise RuntimeError(f"no swap within {MOST_CANDLES} candles")
            if len(self._closed_at) == CANDLES // 4:
                self._promoted_at = time.monotonic()
                await asyncio.to_thread(point_at, 2)
            minute = self._market.closed(GOLDEN + len(self._closed_at))
            self._closed_at.append(time.monotonic())
            engine.closed(SERIES.symbol, minute, self._closed_at[-1])
            while len(engine.latencies_ms) < len(self._closed_at):  # noqa: ASYNC110, no event tells
                await asyncio.sleep(LOOK_SECONDS)
            asked = models.champion(), alone, minute
            self._alone_ms.append(await asyncio.to_thread(_answer_ms, *asked))
            await asyncio.sleep(PACE_SECONDS)

    def _report(self, notice: ModelNotice) -> None:
        if notice.level != "info" and notice.code != "unjudged":
            raise RuntimeError(f"{notice.code}: {notice.text}")
        if notice.code == "swapped":
            self._swapped_at = time.monotonic()

    def _figures(self, name: str, signal_ms: Floats, lag: LoopLag, busy: LoopLag) -> list[Figure]:
        alone_ms, closed_at = np.array(self._alone_ms), np.array(self._closed_at)
        meanwhile = (closed_at >= self._promoted_at) & (closed_at < self._swapped_at)
        p50, late, p99 = np.quantile(signal_ms, [0.5, 0.95, 0.99])
        alone, alone_late = np.quantile(alone_ms, [0.5, 0.95])
        takeover, calm = np.median(signal_ms[meanwhile]), np.median(signal_ms[~meanwhile])
        lags = [one.quantile(0.99) * 1e3 for one in (lag, busy)]
        return [
            Figure(f"floor: an answer in process, {name}, p50", float(alone), "ms"),
            Figure(
                f"minute close to journaled signal, over the answer in process, {name}",
                p50 / alone,
                "x",
                at_most=MOST_OF_ANSWER,
                here=said(p50, "ms"),
            ),
            Figure(
                f"that, of both the late end (p95), {name}",
                late / alone_late,
                "x",
                at_most=MOST_OF_LATE_ANSWER,
                here=f"{said(late, 'ms')}, p99 {said(p99, 'ms')}",
            ),
            Figure(
                f"while a version takes over, over other minutes, {name}",
                float(takeover / calm),
                "x",
                at_most=MOST_OF_CALM,
                here=said(takeover, "ms"),
            ),
            Figure(f"candles meanwhile, {name}", int(meanwhile.sum())),
            Figure(f"promotion to swap, {name}", self._swapped_at - self._promoted_at, "s"),
            Figure(f"peer: loop lag beside a busy thread, {name}, p99", lags[1], "ms"),
            Figure(
                f"loop lag (p99), over that beside a busy thread, {name}",
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


def _answer_ms(model: Model, window: Window, minute: ClosedMinute) -> float:
    """Milliseconds that a version takes for a minute that has just closed, window and all."""
    window.catch_up()  # the minute before: no session waits for it
    begun = time.monotonic()
    window.close(minute.bar.minute, minute.bar.features, source_row(minute))
    rows = window.newest(model.window, len(model.features))
    books = None if model.book is None else block_of(minute.snapshots).books
    if not model.members:
        model.predict(as_frame(rows, books))
    else:
        _, audit = model.vote(as_frame(rows, books))
        if audit is None:
            raise RuntimeError("an answer was expected: all members can speak")
        audit()
    return (time.monotonic() - begun) * 1e3
