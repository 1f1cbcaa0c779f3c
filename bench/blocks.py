"""A network of the book trained on a year of blocks (17 GB) from memory maps: what it takes.

The blocks of one day stand on disk, and stand for those of every day: they are mapped once a day.
What a process holds counts by map, and pages that the system has in memory come soonest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bench.goal import Figure, Log
from quantgod.archive.snapshot_store import BLOCK_INDEX, Blocks
from quantgod.contracts import MS_PER_MINUTE
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.labels import label
from quantgod.forecasters.base_model import train_base
from quantgod.settings import load_settings
from tests.synthetic import synthetic_bars

DAYS, MINUTES, SHAPE = 365, 1440, (100, 20, 4)
INTERVAL_MS = 100
MOST_GIGABYTES = 4.0
ASKED: Final = {
    "model.name": "book_mlp",
    "model.params": {},
    "window.length": 60,
    "train.epochs": 1,
    "train.threads": 1,
    "train.device": "cpu",
}


def blocks(log: Log) -> list[Figure]:
    """Peak memory of a fresh process that checks, trains on and forecasts a year of blocks."""
    with tempfile.TemporaryDirectory() as name:
        path, rng = Path(name) / "day.npy", np.random.default_rng(0)
        day = rng.uniform(0.1, 2.0, (MINUTES, *SHAPE)).astype(np.float32)
        day[..., 0::2] = (day[..., 0::2] - 1) / 1e4
        np.save(path, day)
        gigabytes = DAYS * day.nbytes / 1e9
        log(f"training on {gigabytes:.0f} GB of blocks")
        code = "import sys; from bench.blocks import learn; learn(sys.argv[1])"
        command = [sys.executable, "-c", code, str(path)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    return [
        Figure("blocks of a year", gigabytes, "GB"),
        Figure(
            "peak memory of training on a year of blocks",
            float(run.stdout),
            "GB",
            at_most=MOST_GIGABYTES,
        ),
    ]


def learn(path: str) -> None:
    """Train as the stage does, and print this process's peak memory in GB."""
    settings = load_settings(Path("conf/full.yaml"), ASKED)
    bars = synthetic_bars(DAYS * MINUTES)
    table = label(bars, settings.label, settings.etl.max_bridge_minutes)
    train_base(table, settings, blocks=mapped(Path(path), pd.DatetimeIndex(bars.index)))
    status = Path("/proc/self/status").read_text()
    sys.stdout.write(str(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9))


def mapped(path: Path, index: pd.DatetimeIndex) -> BookBlocks:
    """The day's blocks as those of every day, each in a map of its own."""
    day = np.zeros(MINUTES, dtype=BLOCK_INDEX)
    days = [Blocks(day, np.load(path, mmap_mode="r"), INTERVAL_MS) for _ in range(DAYS)]
    minutes = index.as_unit("ms").asi8 // MS_PER_MINUTE
    ones = np.ones(len(minutes))
    return BookBlocks(days, np.arange(DAYS) * MINUTES, minutes, 60_000 * ones, ones, INTERVAL_MS)
