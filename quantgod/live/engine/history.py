"""Read rows from before this session: earlier journals and, if given, a store of `etl`.

They fill the first window, so that a restart loses nothing, and give the kernel its previous close.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quantgod.archive.store import StoreError, load_bars, stored_series
from quantgod.contracts import FEATURES, Floats, Integers
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.live.journal import read_table, tables

BARS: Final = "BARS"
_NS_PER_MINUTE: Final = 60_000_000_000


@dataclass(frozen=True, eq=False)
class History:
    """Past rows of one symbol, each minute once, oldest first.

    Attributes:
        minutes: (n,) epoch minutes.
        features: (n, 9) in the order of `FEATURES`.
        close: (n,).
    """

    minutes: Integers
    features: Floats
    close: Floats

    @property
    def rows(self) -> MinuteRows:
        """Return the rows that fill a window."""
        return MinuteRows(self.minutes, self.features)

    def before(self, minute: int) -> History:
        """Return the part before an epoch minute."""
        past = int(np.searchsorted(self.minutes, minute))
        return History(self.minutes[:past], self.features[:past], self.close[:past])

    def last_before(self, minute: int) -> tuple[int, float] | None:
        """Return the last minute before an epoch minute, and its close, as `BookBars` needs them.

        The kernel decides whether the first bar uses it as previous close: it does within the
            bridge.
        """
        past = int(np.searchsorted(self.minutes, minute))
        return (int(self.minutes[past - 1]), float(self.close[past - 1])) if past else None


def read_history(
    symbol: str, journal: Path, store: Path | None = None, since: int | None = None
) -> History:
    """Read the rows of a symbol; if both sources have a minute, the journal's is used.

    Args:
        symbol: of the rows.
        journal: folder of a journal; it may be empty.
        store: folder of daily bars, as `etl` writes it.
        since: leave out older minutes of the journal.

    Raises:
        JournalError: if the journal cannot be read.
        StoreError: if the store has no bars of this symbol, or cannot be read.
    """
    stored = [] if store is None else [_stored(symbol, store)]
    return _joined([*stored, _journaled(symbol, journal, since)])


def _journaled(symbol: str, folder: Path, since: int | None) -> History:
    if BARS not in tables(folder):
        return _NOTHING
    columns = ["minute", "symbol", *FEATURES, "close"]
    table = read_table(folder, BARS, columns, since)
    if not table.num_rows:
        return _NOTHING
    is_row = pc.and_(pc.equal(table["symbol"], symbol), pc.is_valid(table["close"]))
    rows: pa.Table = table.filter(is_row)
    features = [rows[name].to_numpy() for name in FEATURES]
    return History(rows["minute"].to_numpy(), np.column_stack(features), rows["close"].to_numpy())


def _stored(symbol: str, store: Path) -> History:
    if (series := stored_series(store, symbol)).source != "book":
        raise StoreError(f"{store} holds {series}, from which no book's minutes can go on")
    bars = load_bars(store, symbol)
    minutes = bars.index.as_unit("ns").asi8 // _NS_PER_MINUTE  # type: ignore[attr-defined]
    features = bars[list(FEATURES)].to_numpy()
    return History(minutes, features, bars["close"].to_numpy())


def _joined(parts: list[History]) -> History:
    """Return all rows sorted by minute; of equal minutes the last one is kept."""
    minutes = np.concatenate([part.minutes for part in parts])[::-1]
    features = np.concatenate([part.features for part in parts])[::-1]
    close = np.concatenate([part.close for part in parts])[::-1]
    kept, places = np.unique(minutes, return_index=True)
    return History(kept.astype(np.int64), features[places], close[places])


_NOTHING: Final = History(np.empty(0, np.int64), np.empty((0, len(FEATURES))), np.empty(0))
