"""What takes too long for `make test`: `make soak`, or `python -m bench.soak PART...`.

    schedules  10,000 seeded fault schedules through the state machine
    mixes      50 random fault mixes at the socket, and how long a book takes to come back
    kills      200 random kills of a journal's writer
    promotions 1,000 kills of a promotion, at every point between two calls of the store and at
               random, while a reader looks; and rollbacks, from the command to its end
    updates    a day of one symbol, 864,000 updates at full speed, through the whole live runner
    ending     from Ctrl-C to the end of the process
    managing   200 requests a second for a minute at the management API, beside a live session
    blocks     a network of the book trained on a year of blocks, and the memory that it takes

Ends with 1 if a goal is missed; a wrong book, a lost row or an unreadable file ends it at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from mlflow import MlflowClient
from rich.console import Console

from bench.blocks import blocks
from bench.goal import Figure, Log
from bench.managing import managing
from bench.running import run
from bench.serving import NAME, register_demo_chain
from quantgod.live.loopback import simulated_exchange
from quantgod.live.runner import run_live
from quantgod.registry.promotion import Grounds, promote
from quantgod.settings import load_settings
from tests.live.feed.mixes import run_mix
from tests.live.journal.killing import kill_round
from tests.market.schedules import run_schedule
from tests.registry.conftest import make_parts, make_store
from tests.registry.interrupting import interrupt
from tests.registry.shelves import NAME as MODEL
from tests.registry.shelves import tracked

SCHEDULES, MIXES, KILLS, UPDATES = 10_000, 50, 200, 864_000
PROMOTIONS, PROMOTIONS_A_LEDGER, ROLLBACKS = 1_000, 50, 5
ROLLBACK_SECONDS = 5.0
WORKERS = 2
WARM_SHARE = 0.25
GROWTH_PERCENT = 5.0
RESYNC_SECONDS = 2.0
END_SECONDS = 5.0
CONFIG = "tests/live/live.yaml"


def schedules(log: Log) -> list[Figure]:
    """Fault schedules; each raises by itself at the first wrong book."""
    outcomes: Counter[str] = Counter()
    checked = syncs = 0
    with ProcessPoolExecutor(WORKERS) as pool:
        for done, result in enumerate(pool.map(run_schedule, range(SCHEDULES), chunksize=50), 1):
            outcomes += result.outcomes
            checked, syncs = checked + result.checked, syncs + result.syncs
            if done % 2_000 == 0:
                log(f"{done} schedules, {checked:,} published books compared with the truth")
    for name, count in sorted(outcomes.items()):
        log(f"  {name}: {count:,}")
    return [
        Figure("fault schedules without a wrong book", SCHEDULES, at_least=SCHEDULES),
        Figure("published books compared", checked),
        Figure("times a book came to stand", syncs),
    ]


def mixes(log: Log) -> list[Figure]:
    """Mixes at the socket, at a test's pace, five at a time."""

    async def all_of_them() -> list[float]:
        resyncs: list[float] = []
        for first in range(0, MIXES, 5):
            seeds = range(first, min(first + 5, MIXES))
            for result in await asyncio.gather(*(run_mix(seed) for seed in seeds)):
                if result.wrong or not result.is_synced or result.early:
                    raise AssertionError(f"mix {result.seed}: {result}")
                resyncs += result.resyncs
            log(f"{first + 5} mixes, {len(resyncs)} resyncs")
        return resyncs

    resyncs = asyncio.run(all_of_them())
    return [
        Figure("mixes without a wrong book", MIXES, at_least=MIXES),
        Figure("resyncs", len(resyncs)),
        Figure("resync p50", float(np.quantile(resyncs, 0.5)), "s"),
        Figure("resync p99", float(np.quantile(resyncs, 0.99)), "s", at_most=RESYNC_SECONDS),
    ]


def kills(log: Log) -> list[Figure]:
    """Kills of a journal's writer; each raises by itself at the first row that is wrong."""
    rounds = [kill_round(seed, kills=10) for seed in range(KILLS // 10)]
    log(f"{sum(one.rows for one in rounds):,} rows recovered")
    return [
        Figure("kills without a lost row", sum(one.kills for one in rounds), at_least=KILLS),
        Figure("rows never acknowledged", sum(one.lost for one in rounds)),
    ]


def promotions(log: Log) -> list[Figure]:
    """Kills of a promotion; raises at the first reader who saw anything but a whole version."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = make_parts(folder / "parts")
        store = make_store(parts, folder)
        with tracked(store.uri):
            versions = [store.number, store.add(parts.package), store.add(parts.package)]
            for seed in range(PROMOTIONS // PROMOTIONS_A_LEDGER):
                counts += interrupt(MODEL, store.uri, versions, PROMOTIONS_A_LEDGER, seed)
                log(f"{(seed + 1) * PROMOTIONS_A_LEDGER} promotions: {dict(counts)}")
            taken = [_rollback_seconds(versions[place % 2]) for place in range(ROLLBACKS)]
    return [
        Figure("promotions that left a whole version", PROMOTIONS, at_least=PROMOTIONS),
        Figure("  killed, and the old one in place", counts["old"]),
        Figure("  killed, and the new one in place", counts["new"]),
        Figure("  at an end before they were killed", counts["ended"]),
        Figure("times that a reader looked", counts["reads"]),
        Figure(f"rollback, slowest of {ROLLBACKS}", max(taken), "s", at_most=ROLLBACK_SECONDS),
    ]


def _rollback_seconds(number: int) -> float:
    """How long `python -m steps.rollback` takes, its start included, after another promotion."""
    promote(MODEL, number, why=Grounds("a bench", force=True), tryout=lambda *_: None)
    promote(MODEL, 3, why=Grounds("a bench", force=True), tryout=lambda *_: None)
    command = [sys.executable, "-m", "steps.rollback", "--name", MODEL]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def updates(log: Log) -> list[Figure]:
    """A day at full speed through feed, book, bars, model, drift and journal."""
    with tempfile.TemporaryDirectory() as name, _registered(Path(name)) as overrides:
        market = {"simulate.days": 1, "simulate.cadence_ms": 100, "simulate.levels": 500}
        market |= {"simulate.changes": 42}
        settings = load_settings(Path(CONFIG), overrides | market | {"live.simulated.speed": 1e9})
        began = time.monotonic()
        with simulated_exchange(settings) as feed, _memory() as megabytes:
            ended = asyncio.run(run_live(settings, feed, Console(quiet=True), lambda *_: None))
        seconds = time.monotonic() - began
    warm = int(len(megabytes) * WARM_SHARE)
    before, after = np.median(megabytes[warm : warm + 20]), np.median(megabytes[-20:])
    log(f"{seconds:.0f} s, {ended.signals} signals, memory {before:.0f} to {after:.0f} MB")
    return [
        Figure("signals of a day", ended.signals),
        Figure("updates a second, all in", UPDATES / seconds),
        Figure("memory after warm-up", float(before), "MB"),
        Figure("growth since", 100 * float(after / before - 1), "%", at_most=GROWTH_PERCENT),
    ]


def ending(log: Log) -> list[Figure]:
    """Ctrl-C while it runs, three times."""
    taken = []
    with tempfile.TemporaryDirectory() as name, _registered(Path(name)) as overrides:
        command = [sys.executable, "-m", "steps.live", "--config", CONFIG, "--log", "json"]
        command += [f"--set={key}={value}" for key, value in overrides.items()]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as live:
                for line in live.stderr or ():
                    if '"synced"' in line:
                        break
                time.sleep(5.0)
                live.send_signal(number)
                began = time.monotonic()
                live.communicate()
                taken.append(time.monotonic() - began)
                log(f"{number.name}: ended with {live.returncode} after {taken[-1]:.1f} s")
    return [Figure("from signal to end, slowest of 3", max(taken), "s", at_most=END_SECONDS)]


PARTS = {
    part.__name__: part
    for part in (schedules, mixes, kills, promotions, updates, ending, managing, blocks)
}


def main() -> int:
    """Run, print, judge."""
    return run("python -m bench.soak", __doc__, PARTS, "soak")


@contextmanager
def _registered(folder: Path) -> Iterator[dict[str, object]]:
    """A store with a promoted chain of the demo's size; gives the settings that lead to it."""
    before = dict(os.environ)
    register_demo_chain(folder)
    MlflowClient().set_registered_model_alias(NAME, "Production", "1")
    try:
        yield {
            "live.unjudged": "warn",
            "registry.name": NAME,
            "live.journal": str(folder / "journal"),
            "live.copies": str(folder / "models"),
            "tracking.outbox": str(folder / "outbox"),
        }
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _memory(seconds: float = 0.5) -> Iterator[list[float]]:
    """This process's resident memory in MB, measured twice a second."""
    process, stop = psutil.Process(), threading.Event()
    megabytes: list[float] = []

    def measure() -> None:
        while not stop.wait(seconds):
            megabytes.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=measure)
    thread.start()
    try:
        yield megabytes
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
