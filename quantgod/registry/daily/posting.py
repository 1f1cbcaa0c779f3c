"""Write candles as a version that forecasts them takes them.

This imports no model code, so that a command that only asks a version starts quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from quantgod.contracts import Candles
from quantgod.served.candles.rows import NEEDS
from quantgod.served.request.candles import SYMBOL, TIME


def rows_to_post(coins: Sequence[Candles]) -> pd.DataFrame:
    """Return candles as a version takes them, coin by coin, times in epoch milliseconds."""
    parts = []
    for one in coins:
        columns: dict[str, Any] = {SYMBOL: one.symbol, TIME: one.time_ms}
        columns |= {name: one.column(name) for name in NEEDS}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
