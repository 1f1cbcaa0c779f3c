"""Read the signals of several versions in live sessions, for comparison."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from quantgod.gates.champion import BAR_COLUMNS, SIGNAL_COLUMNS, JournalTables
from quantgod.live.journal import read_table, tables


def read_shadow(folder: Path, name: str, versions: Collection[int]) -> JournalTables:
    """Read the signals of these versions, and the bars from their first minute on.

    Versions of other registered models have the same numbers, so rows without the model's name, as
    older ones are, are not used.

    Args:
        folder: of the journal; it may be in use, or missing.
        name: of the registered model.
        versions: to read.

    Raises:
        JournalError: if a file cannot be read.
    """
    signals = _signals(folder)
    own = (signals["model"] == name) & signals["version"].isin(versions)
    signals = signals.loc[own, list(SIGNAL_COLUMNS)]
    if signals.empty:
        return JournalTables(signals, pd.DataFrame(columns=list(BAR_COLUMNS)))
    return JournalTables(signals, _read(folder, "BARS", BAR_COLUMNS, int(signals["minute"].min())))


def _signals(folder: Path) -> pd.DataFrame:
    columns = ["model", *SIGNAL_COLUMNS]
    if "SIGNALS" not in tables(folder):
        return pd.DataFrame(columns=columns)
    # All columns, since rows journaled before `model` was a column lack it.
    rows: pd.DataFrame = read_table(folder, "SIGNALS").to_pandas()
    return rows.reindex(columns=columns)


def _read(
    folder: Path, table: str, columns: Sequence[str], since: int | None = None
) -> pd.DataFrame:
    if table not in tables(folder):
        return pd.DataFrame(columns=list(columns))
    rows = read_table(folder, table, columns, since)
    return rows.to_pandas() if rows.num_rows else pd.DataFrame(columns=list(columns))
