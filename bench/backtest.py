"""Backtesting a year of minutes: the whole of it, held against its goal and against a floor.

A backtest here is what a step runs: the loop at each of the settings' latencies, the trades, and
the figures with a thousand redraws. Signals are random, one minute in two, on an account so large
that no breach ends the year early. Books hold 20 levels a side: with 200 a year would take 3.4 GB,
and the loop looks at no more of a book than an order takes and the best prices.

The floor is one numpy pass over all books. Seconds are of processor time, the best of the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from bench.goal import Figure
from quantgod.contracts import MS_PER_MINUTE
from quantgod.evaluation.backtest import Books, backtest
from quantgod.settings import load_settings

MINUTES, LEVELS = 525_600, 20
MOST_SECONDS = 5.0
ROUNDS = 3
SETTINGS = load_settings(
    Path("conf/full.yaml"), {"backtest.account.initial_balance": 1e9, "backtest.funding_rate": 1e-4}
)

Log = Callable[[str], None]
Found = TypeVar("Found")


def measure(log: Log) -> list[Figure]:
    """Make a year, trade it, and give the figures."""
    log("making a year of books")
    books, rows = _books(), _rows()
    horizon = SETTINGS.label.horizon_minutes
    own = SETTINGS.backtest
    once = own.model_copy(update={"latencies_ms": (own.latency_ms,)})
    log("compiling")
    backtest(rows[:1000], books.between(0, 2000), once, horizon, 30)
    log("backtesting it")
    whole, found = _best(lambda: backtest(rows, books, own, horizon, 30))
    single, _ = _best(lambda: backtest(rows, books, once, horizon, 30))
    floor, _ = _best(books.levels.sum)
    return [
        Figure("minutes", MINUTES),
        Figure("trades", found.result.trades),
        Figure("floor: a pass over all books", floor, "s"),
        Figure("at one latency, without redraws", single, "s"),
        Figure(f"at {len(own.latencies_ms)} latencies, with redraws", whole, "s", MOST_SECONDS),
        Figure("that over the floor", whole / floor, "x"),
    ]


def _best(work: Callable[[], Found]) -> tuple[float, Found]:
    seconds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        found = work()
        seconds.append(time.process_time() - begin)
    return min(seconds), found


def _books() -> Books:
    rng = np.random.default_rng(1)
    mid = 60_000 * np.exp(np.cumsum(rng.normal(0, SETTINGS.simulate.volatility, MINUTES)))
    levels = np.empty((MINUTES, 2, LEVELS, 2))
    away = 0.05 + 0.5 * np.arange(LEVELS)
    levels[:, 0, :, 0] = mid[:, None] - away
    levels[:, 1, :, 0] = mid[:, None] + away
    levels[..., 1] = rng.exponential(0.1, (MINUTES, 2, LEVELS)) + 0.001
    start = pd.Timestamp("2024-01-01").value // 1_000_000
    return Books(start + MS_PER_MINUTE * np.arange(1, MINUTES + 1), levels)


def _rows() -> pd.DataFrame:
    scored = MINUTES - 2 * SETTINGS.label.horizon_minutes
    action = np.random.default_rng(2).choice(3, scored, p=[0.25, 0.5, 0.25])
    times = pd.date_range("2024-01-01", periods=scored, freq="min", tz="UTC")
    return pd.DataFrame({"time": times, "action": action})
