"""Turn the results of a backtest's loop into frames: trades, and the account by minute."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.backtest import engine
from quantgod.backtest.engine import Desk
from quantgod.contracts import Floats

REASONS: Final = ("horizon", "opposite", "end", "daily_loss", "total_loss")
"""Why a trade ended, by the engine's number."""

TRADES_FILE: Final = "trades.parquet"
EQUITY_FILE: Final = "equity.parquet"


def trades_of(desk: Desk, latency_ms: int) -> pd.DataFrame:
    """Return one row per trade, in the order of the signals.

    Columns: `signal_time` (close of the signal's minute), `entry_time`, `exit_time`, `side` (1 or
    -1), `quantity` (base currency), `entry_price`, `exit_price` (averages of the fills),
    `entry_mid`, `exit_mid` (of the books that were met), `turnover`, `gross` (between those mids),
    `slippage`, `fees`, `funding`, `net` (= gross - slippage - fees - funding), `drift` (what the
    mid did against the trade in the latency; a part of `gross`), `reason`, `latency_ms`.
    """
    done = desk.counters[engine.LEFT]
    integers, floats = desk.integers[:done], desk.floats[:done]
    kept = floats[:, engine.QUANTITY] > 0  # an empty book fills nothing
    integers, floats = integers[kept], floats[kept]
    side, quantity = integers[:, engine.SIDE], floats[:, engine.QUANTITY]
    held = side * quantity
    entry, left = floats[:, engine.ENTRY_PRICE], floats[:, engine.EXIT_PRICE]
    entry_mid, exit_mid = floats[:, engine.ENTRY_MID], floats[:, engine.EXIT_MID]
    gross = held * (exit_mid - entry_mid)
    slippage = held * ((entry - entry_mid) + (exit_mid - left))
    fees, funding = floats[:, engine.FEES], floats[:, engine.FUNDING]
    mid = desk.minutes.mid
    decided, told = mid[integers[:, engine.SIGNAL_ROW]], mid[integers[:, engine.EXIT_ROW]]
    return pd.DataFrame(
        {
            "signal_time": _times(desk.minutes.time_ms[integers[:, engine.SIGNAL_ROW]]),
            "entry_time": _times(integers[:, engine.ENTRY_MS]),
            "exit_time": _times(integers[:, engine.EXIT_MS]),
            "side": side.astype(np.int8),
            "quantity": quantity,
            "entry_price": entry,
            "exit_price": left,
            "entry_mid": entry_mid,
            "exit_mid": exit_mid,
            "turnover": quantity * (entry + left),
            "gross": gross,
            "slippage": slippage,
            "fees": fees,
            "funding": funding,
            "net": gross - slippage - fees - funding,
            "drift": held * ((entry_mid - decided) - (exit_mid - told)),
            "reason": pd.Categorical.from_codes(integers[:, engine.REASON], pd.Index(REASONS)),
            "latency_ms": np.full(len(held), latency_ms, np.int64),
        }
    )


def equity_of(desk: Desk) -> pd.DataFrame:
    """Return the account after each minute, by the minute's start (UTC).

    Columns: `balance` (realised), `equity` (with what is open, at mid), `drawdown` (share of the
    highest equity so far, the first balance included) and `position` (signed, base currency).
    """
    equity = desk.course[:, engine.EQUITY]
    return pd.DataFrame(
        {
            "balance": desk.course[:, engine.SETTLED],
            "equity": equity,
            "drawdown": drawdown_of(equity, desk.rules.initial_balance),
            "position": desk.course[:, engine.HELD],
        },
        index=pd.DatetimeIndex(_times(desk.minutes.time_ms), name="time") - pd.Timedelta(minutes=1),
    )


def drawdown_of(equity: Floats, initial_balance: float) -> Floats:
    """Return how far each value lies below the highest equity so far, as a share of it."""
    peak = np.maximum(np.maximum.accumulate(equity), initial_balance)
    below: Floats = 1 - equity / peak
    return below


def _times(epoch_ms: npt.NDArray[Any]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(epoch_ms.astype("datetime64[ms]"), tz="UTC")
