"""The 112 features of a year of minutes, over a plain mean of an hour for each of them.

The mean by numpy, of windows in a strided view, is the floor: no feature of a past can be had for
less, and most look at more of it, at the 800 numbers of a book, or in several ways. A simulated day
stands for each day of the year, read from its stored bars; time is of what comes after the reading,
and memory of all that a fresh process takes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.archive.etl import run_etl
from quantgod.archive.store import stored_days
from quantgod.contracts import Floats
from quantgod.dataset.feature_file import day_rows
from quantgod.dataset.feature_table import SourceRows, feature_days
from quantgod.served.features import sets
from quantgod.settings import load_settings
from quantgod.simulation.archives import write_archives

DAYS: Final = 365
TIMED_DAYS, ROUNDS = 15, 3
MINUTES, HOUR = 1440, 60
MOST_OF_MEANS = 15.0  # forty seconds where the means take somewhat less than three
MOST_OF_IMPORTS = 1.6

SETTINGS = load_settings(Path("conf/full.yaml"), {"simulate.days": 1, "simulate.cadence_ms": 3000})
BRIDGE = SETTINGS.etl.max_bridge_minutes


def measure(log: Log) -> list[Figure]:
    """Seconds of a year, from some days in turns with the floor, and the memory of a year."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log("simulating a day")
        write_archives(folder / "archives", SETTINGS.data.symbol, SETTINGS.simulate)
        run_etl(folder / "archives", folder / "bars", SETTINGS.etl)
        [path] = stored_days(folder / "bars", SETTINGS.data.symbol)
        day, columns = day_rows(path), np.random.default_rng(0).random((len(sets.NAMES), MINUTES))
        log(f"{TIMED_DAYS} days of features and of means, {ROUNDS} times in turns")
        works = lambda: make(day, TIMED_DAYS), lambda: means(columns, TIMED_DAYS)
        own, floor = (seconds / TIMED_DAYS * DAYS for seconds in best(works, ROUNDS))
        log("the memory of a year")
        peak, imports = (megabytes(path, days) for days in (DAYS, 0))
    return [
        Figure("floor: a mean of an hour for each, a year", floor, "s"),
        Figure(
            "features of a year, over a mean of an hour for each",
            own / floor,
            "x",
            at_most=MOST_OF_MEANS,
            here=said(own, "s"),
        ),
        Figure("floor: what the features import", imports, "MB"),
        Figure(
            "peak memory of a year of features, over the imports",
            peak / imports,
            "x",
            at_most=MOST_OF_IMPORTS,
            here=said(peak, "MB"),
        ),
    ]


def make(day: SourceRows, days: int) -> int:
    """Make the features of so many days, and drop them as a file takes them; their rows."""
    return sum(len(frame) for frame in feature_days(repeated(day, days), BRIDGE))


def repeated(day: SourceRows, days: int) -> Iterator[SourceRows]:
    """The day again and again, each time a day later."""
    return (day._replace(minutes=day.minutes + MINUTES * number) for number in range(days))


def means(columns: Floats, days: int) -> None:
    """The mean of each row's last hour, for every column."""
    for _ in range(days):
        deque((sliding_window_view(one, HOUR).mean(axis=1) for one in columns), maxlen=0)


def megabytes(path: Path, days: int) -> float:
    """Peak memory of a fresh process that makes features of so many days."""
    code = (
        "import sys; from pathlib import Path\n"
        "from bench.features import day_rows, make\n"
        "days = int(sys.argv[2])\n"
        "days and make(day_rows(Path(sys.argv[1])), days)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path), str(days)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(run.stdout) / 1024
