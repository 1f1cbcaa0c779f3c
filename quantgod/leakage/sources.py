"""Read what the features of the audited minutes are made of: their books and seconds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from quantgod.archive.seconds import load_seconds
from quantgod.archive.store import load_bars
from quantgod.contracts import BOOK_COLUMNS
from quantgod.leakage.borders import memory_of
from quantgod.leakage.pipeline import newest
from quantgod.settings import Settings


def newest_sources(
    store: Path, symbol: str, bars: pd.DataFrame, settings: Settings
) -> pd.DataFrame | None:
    """Return `dataset.feature_table.SOURCES` of the days of the audited bars.

    Args:
        store: folder of the bars of a market.
        symbol: of the bars.
        bars: all of them.
        settings: of the lineage; for a network of bars nothing is read, and None is returned.

    Raises:
        StoreError: naming a day without figures of seconds.
    """
    if memory_of(settings) == 1:
        return None
    audited = newest(bars, settings).index
    days = audited[0].date(), audited[-1].date()
    books = load_bars(store, symbol, BOOK_COLUMNS, days)
    return books.join(load_seconds(store, symbol, days=days))
