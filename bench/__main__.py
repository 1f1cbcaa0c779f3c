"""Run all benches, or those named; exit with 1 if a goal is missed.

Every goal is a ratio to a floor or a peer that the same run measures, in turns with ours; why that
floor, each bench's first lines say. Times and bytes only inform.
"""

from __future__ import annotations

import importlib
import sys
from functools import partial

from bench.goal import Figure, Log
from bench.running import run

BENCHES = (
    "archive",
    "snapshots",
    "features",
    "windows",
    "members",
    "recurrent_dropout",
    "tracking",
    "serving",
    "live_path",
    "live_minute",
    "latency",
    "backtest",
)


def main() -> int:
    """Measure, print, judge."""
    parts = {name: partial(_measure, name) for name in BENCHES}
    return run("python -m bench", __doc__, parts, "speed")


def _measure(name: str, log: Log) -> list[Figure]:
    """Import a bench when its turn has come: torch changes the memory of what came before."""
    figures: list[Figure] = importlib.import_module(f"bench.{name}").measure(log)
    return figures


if __name__ == "__main__":
    sys.exit(main())
