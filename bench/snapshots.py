"""Snapshots of a full day, over `etl` on the same archive: both read, and write what they keep.

`etl` is the floor: snapshots read every message too, by the same compiled reader. Seconds are of
processor time, the best of rounds in turns, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.archive.etl import run_etl
from quantgod.archive.snapshots import run_snapshots
from quantgod.settings import load_settings
from quantgod.simulation.archives import write_archives

MOST_OF_ETL = 1.3
ROUNDS = 5

SETTINGS = load_settings(Path("conf/full.yaml"), {"simulate.days": 1, "etl.workers": 1})
DATA = SETTINGS.data


def measure(log: Log) -> list[Figure]:
    """Make the day and its bars, and both again in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder, number = Path(name), itertools.count()
        log("simulating a day of messages")
        archives = folder / "archives"
        write_archives(archives, DATA.symbol, SETTINGS.simulate)

        def etl() -> None:
            run_etl(archives, folder / f"bars{next(number)}", SETTINGS.etl)

        def snapshots() -> int:
            report = run_snapshots(
                archives, folder / "bars0", folder / f"snapshots{next(number)}",
                DATA.symbol, DATA.market, SETTINGS.etl, SETTINGS.snapshots,
            )  # fmt: skip
            return report.days[0].snapshots

        etl()
        kept = snapshots()  # both have compiled now
        log(f"etl and snapshots, {ROUNDS} times in turns")
        floor, own = best([etl, snapshots], ROUNDS)
    return [
        Figure("snapshots of a day", kept),
        Figure("floor: etl", floor, "s"),
        Figure("snapshots, over etl", own / floor, "x", at_most=MOST_OF_ETL, here=said(own, "s")),
    ]
