"""Backtesting a year of minutes, over what numpy needs for the same year without any books walked.

A backtest here is what a step runs: the loop at each of the settings' latencies, the trades, and
the figures with their intervals. Signals are random, one minute in two, on an account so large that
no breach ends the year early. Books hold 20 levels a side: with 200 a year would take 3.4 GB, and
the loop looks at no more of a book than an order takes and the best prices.

The floor is the backtest that everybody writes first, in whole columns: at each latency a position
a minute from the newest signal before it, its gains at mid and a fee for each change, and of the
settings' own latency the same judgement that ours gives its gains. It walks no book, closes nothing
after a horizon, knows no account and lists no trades. A compiled loop that does all that may take
five times as long. Seconds are of processor time, the best of rounds in turns.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.backtest import Books, backtest
from quantgod.backtest.books import ASK, BID, PRICE
from quantgod.backtest.performance import ratios, skill
from quantgod.contracts import MS_PER_MINUTE, Floats
from quantgod.settings import load_settings

MINUTES, LEVELS, TRIALS = 525_600, 20, 30
MOST_OF_FLOOR = 5.0
ROUNDS = 5
SETTINGS = load_settings(
    Path("conf/full.yaml"), {"backtest.account.initial_balance": 1e9, "backtest.funding_rate": 1e-4}
)
HORIZON = SETTINGS.label.horizon_minutes


def measure(log: Log) -> list[Figure]:
    """Make a year, trade it both ways, and give the figures."""
    log("making a year of books")
    books, rows = _books(), _rows()
    own = SETTINGS.backtest
    once = own.model_copy(update={"latencies_ms": (own.latency_ms,)})
    log("compiling")
    trades = backtest(rows, books, own, HORIZON, TRIALS).result.trades
    log("backtesting it")
    works = [partial(backtest, rows, books, each, HORIZON, TRIALS) for each in (own, once)]
    whole, single, floor = best([*works, partial(_in_columns, rows, books)], ROUNDS)
    return [
        Figure("minutes", MINUTES),
        Figure("trades", trades),
        Figure("floor: whole columns in numpy", floor, "s"),
        Figure("at one latency", single, "s"),
        Figure(
            f"a year at {len(own.latencies_ms)} latencies, over numpy in whole columns",
            whole / floor,
            "x",
            at_most=MOST_OF_FLOOR,
            here=said(whole, "s"),
        ),
    ]


def _in_columns(rows: pd.DataFrame, books: Books) -> object:
    """A year's gains at each latency, and a judgement of those at the settings' own."""
    own = SETTINGS.backtest
    signal = rows["action"].to_numpy() - 1.0
    gains = {each: _gains(signal, books, each, own.taker_fee) for each in own.latencies_ms}
    changes = int(np.count_nonzero(signal))
    judged = gains[own.latency_ms]
    return ratios(judged, HORIZON, changes), skill(judged, HORIZON, TRIALS)


def _gains(signal: Floats, books: Books, latency_ms: int, fee: float) -> Floats:
    """Gains (n,) of a unit held from the newest signal before each minute."""
    touch = books.levels[: len(signal) + HORIZON, :, 0, PRICE]
    mid = (touch[:, BID] + touch[:, ASK]) / 2
    places = np.arange(len(signal))
    newest = np.maximum.accumulate(np.where(signal != 0, places, 0))
    position = np.zeros(len(mid))
    late = -(-latency_ms // MS_PER_MINUTE)
    position[late : late + len(signal)] = signal[newest][: len(mid) - late]
    paid = fee * np.abs(np.diff(position, prepend=0.0)) * mid
    return np.asarray(np.diff(mid, prepend=mid[0]) * np.roll(position, 1) - paid)


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
    scored = MINUTES - 2 * HORIZON
    action = np.random.default_rng(2).choice(3, scored, p=[0.25, 0.5, 0.25])
    times = pd.date_range("2024-01-01", periods=scored, freq="min", tz="UTC")
    return pd.DataFrame({"time": times, "action": action})
