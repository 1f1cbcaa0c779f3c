"""What versions said side by side in live sessions, as an evaluation takes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from quantgod.gates.champion import BAR_COLUMNS, SIGNAL_COLUMNS, JournalTables
from quantgod.live.journal import read_table, tables


def read_shadow(folder: Path, name: str, versions: Collection[int]) -> JournalTables:
    """Read the signals of these versions, and the bars from their first minute on.

    Versions of another registered model bear the same numbers; rows that do not name the model, as
    older ones do not, are nobody's.

    Args:
        folder: the journal's; it may be written to at the same time, or not be there.
        name: of the registered model.
        versions: whose signals are wanted.

    Raises:
        JournalError: if a file of it cannot be read.
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
    # Whole, since what was journaled before `model` was a column lacks it.
    rows: pd.DataFrame = read_table(folder, "SIGNALS").to_pandas()
    return rows.reindex(columns=columns)


def _read(
    folder: Path, table: str, columns: Sequence[str], since: int | None = None
) -> pd.DataFrame:
    if table not in tables(folder):
        return pd.DataFrame(columns=list(columns))
    rows = read_table(folder, table, columns, since)
    return rows.to_pandas() if rows.num_rows else pd.DataFrame(columns=list(columns))
