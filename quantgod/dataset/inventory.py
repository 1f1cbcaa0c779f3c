"""List the labelled tables on disk."""

from __future__ import annotations

from pathlib import Path

from quantgod.archive.inventory import Holding, of_minutes
from quantgod.contracts import MARKETS
from quantgod.dataset.labels import NO_TARGET
from quantgod.dataset.table import read_table


def held_labels(root: Path) -> list[Holding]:
    """Return the labelled tables below a folder, one per series; broken ones carry their error."""
    paths = [path for market in MARKETS for path in sorted((root / market).glob("*.parquet"))]
    return [_of_table(path) for path in paths]


def _of_table(path: Path) -> Holding:
    market, symbol = path.parent.name, path.stem
    try:
        table = read_table(path)
    except (ValueError, OSError) as error:
        return Holding(market, symbol, "", "", 0, 0.0, "", str(error))
    if table.empty:
        return Holding(market, symbol, "", "", 0, 0.0, "", "no rows")
    minutes = table.index.as_unit("s").asi8 // 60  # type: ignore[attr-defined]
    labelled = int((table["target"] != NO_TARGET).sum())
    return of_minutes(market, symbol, minutes, f"{labelled} labelled")
