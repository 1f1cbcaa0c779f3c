"""The command of a set of benches: measure those asked for, print, judge, fill docs/results.md."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.goal import Figure, Log
from bench.speed_table import refreshed, rows_of
from quantgod.tracking.machine import machine

RESULTS = Path("docs/results.md")
BUSY = 0.25
"""Processes a core that wait or run before a bench begins: above it other work goes on."""

Measure = Callable[[Log], list[Figure]]


def run(command: str, about: str | None, parts: Mapping[str, Measure], table: str) -> int:
    """Run all parts, or those named; gives 1 if a goal is missed.

    Args:
        command: how it is called.
        about: what its help says.
        parts: by name, in the order of the table.
        table: of docs/results.md, which `--write` fills.
    """
    parser = argparse.ArgumentParser(prog=command, description=about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}; all if none is named")
    parser.add_argument("--write", action="store_true", help="put what came into docs/results.md")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(parts):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    console = Console()
    is_busy = os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)
    measured = {}
    for name in asked.parts or parts:
        measured[name] = parts[name](console.log)
        console.print(table_of(name, measured[name]))
    console.print(f"Measured on {machine()}.")
    if asked.write:
        rows = {name: rows_of(name, figures) for name, figures in measured.items()}
        text = RESULTS.read_text(encoding="utf-8")
        text = refreshed(text, table, rows, tuple(parts), machine(), is_busy)
        RESULTS.write_text(text, encoding="utf-8")
    return 0 if all(one.is_met for figures in measured.values() for one in figures) else 1


def table_of(name: str, figures: list[Figure]) -> Table:
    """One bench as a table."""
    table = Table(title=name)
    for column in ("figure", "value", "unit", "goal", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in figures:
        unit = f"{figure.unit} ({figure.here})" if figure.here else figure.unit
        table.add_row(figure.name, f"{figure.value:.4g}", unit, figure.goal, figure.verdict)
    return table
