"""Minute bars of others: a CSV, Parquet or Feather file of a row a minute, checked row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from quantgod.archive.price_table import TIMES, Form, Unit, read_prices
from quantgod.archive.table_file import PRICES
from quantgod.contracts import BAR_COLUMNS, MS_PER_MINUTE

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": TIMES,
    "volume": ("volume", "vol"),
    "symbol": ("symbol", "ticker", "pair"),
    **{name: (name,) for name in (*PRICES, *BAR_COLUMNS)},
}
"""What a column may be called, in lower case; of several the first of these counts."""

_ROWS: Final = (
    "bars of one minute",
    "no command makes minutes of them: get candles of 1m",
)


def read_minutes(
    path: Path, unit: Unit = "ms", needs: Sequence[str] = PRICES, symbol: str | None = None
) -> pd.DataFrame:
    """Read a file of minute bars.

    Args:
        path: `.csv`, `.csv.gz`, `.parquet` or `.feather`; newest first is taken, too.
        unit: Of times that are numbers.
        needs: The columns that it must have.
        symbol: The only one that a column of symbols may hold, in any case, with any signs between
            letters (`fil/usdt`); by default whichever it holds.

    Returns:
        The known columns but for time and symbol, float64; the index `minute` holds epoch minutes,
        increasing.

    Raises:
        ValueError: naming the file and the line, column or unit, what was found and what expected.
        PriceJumpError: naming the minute and both prices of a jump that no market makes.
    """
    frame = read_prices(path, Form(NAMES, "1m", unit, needs, symbol, _ROWS))
    return frame.set_axis(pd.Index(frame.index // MS_PER_MINUTE, name="minute"))
