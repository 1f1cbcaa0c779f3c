"""Run all benches, or those named; exit with 1 if a goal is missed."""

from __future__ import annotations

import argparse
import importlib
import sys

from rich.console import Console
from rich.table import Table

from bench.goal import Figure

BENCHES = ("archive", "windows", "tracking", "serving", "live_path", "latency", "backtest")


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("benches", nargs="*", help=f"of {', '.join(BENCHES)}; all if none is named")
    chosen = parser.parse_args().benches or BENCHES
    if unknown := set(chosen) - set(BENCHES):
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    console = Console()
    is_met = True
    for name in chosen:
        figures = importlib.import_module(f"bench.{name}").measure(console.log)
        console.print(table_of(name, figures))
        is_met &= all(figure.is_met for figure in figures)
    return 0 if is_met else 1


def table_of(name: str, figures: list[Figure]) -> Table:
    """One bench as a table."""
    table = Table(title=name)
    for column in ("figure", "value", "unit", "goal", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in figures:
        verdict = ("met" if figure.is_met else "MISSED") if figure.goal else ""
        table.add_row(figure.name, f"{figure.value:.4g}", figure.unit, figure.goal, verdict)
    return table


if __name__ == "__main__":
    sys.exit(main())
