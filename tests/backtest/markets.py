"""Small markets with books, and signals on them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quantgod.backtest import Books
from quantgod.settings import AccountSettings, BacktestSettings

START = pd.Timestamp("2024-01-01", tz="UTC")
START_MS = START.value // 1_000_000
MINUTE_MS = 60_000

SELL, NEUTRAL, BUY = range(3)


def settings(**values: object) -> BacktestSettings:
    """Without costs, latency or limits that matter, but for what is said."""
    account = {
        "initial_balance": 10_000.0, "max_daily_loss": 0.9, "max_total_loss": 0.9,
        "profit_target": 9.0, "min_trading_days": 0,
    }  # fmt: skip
    account |= values.pop("account", {})
    rest = {
        "latency_ms": 0, "latencies_ms": (0,), "taker_fee": 0.0, "funding_rate": 0.0,
        "funding_hours": 8, "notional": 1000.0, "max_position": 1000.0,
    }  # fmt: skip
    return BacktestSettings(**(rest | values), account=AccountSettings(**account))


def books(
    mid: np.ndarray, half_spread: float = 0.0, size: float = 1e9, minutes: np.ndarray | None = None
) -> Books:
    """Books of one level a side around `mid`, a minute apart or at the closes of `minutes`."""
    levels = np.empty((len(mid), 2, 1, 2))
    # A book without any spread is no book; a hair of one changes no cent.
    half = max(half_spread, 1e-9)
    levels[:, 0, 0, 0], levels[:, 1, 0, 0] = mid - half, mid + half
    levels[..., 1] = size
    at = np.arange(len(mid)) if minutes is None else minutes
    return Books(START_MS + MINUTE_MS * (at + 1), levels)


def rows(actions: dict[int, int] | np.ndarray, upto: int = 0) -> pd.DataFrame:
    """Scored rows, as far as a backtest reads them: actions by minute, NEUTRAL up to `upto`."""
    if isinstance(actions, np.ndarray):
        actions = dict(enumerate(actions.tolist()))
    known = dict.fromkeys(range(upto), NEUTRAL) | actions
    minutes = sorted(known)
    times = START + pd.to_timedelta(minutes, unit="min")
    return pd.DataFrame({"time": times, "action": [known[minute] for minute in minutes]})


def walk(minutes: int, seed: int = 0, volatility: float = 0.001) -> np.ndarray:
    """A random walk of the mid."""
    steps = np.random.default_rng(seed).normal(0, volatility, minutes)
    return 100 * np.exp(np.cumsum(steps))
