"""A backtest of scored rows: signals through the engine, once a latency, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.contracts import CLASSES, MS_PER_MINUTE, Progress, silent
from quantgod.evaluation.backtest.books import Books
from quantgod.evaluation.backtest.engine import EQUITY, Desk, Rules, Signals, new_desk, play
from quantgod.evaluation.backtest.results import Judged, result_of
from quantgod.evaluation.backtest.trades import equity_of, trades_of
from quantgod.evaluation.evidence import BacktestResult
from quantgod.settings import BacktestSettings

MS_PER_HOUR: Final = 60 * MS_PER_MINUTE

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Backtested:
    """A backtest.

    Attributes:
        result: its figures.
        trades: see `trades.trades_of`; at the settings' latency.
        equity: see `trades.equity_of`; likewise.
    """

    result: BacktestResult
    trades: pd.DataFrame
    equity: pd.DataFrame


def backtest(
    rows: pd.DataFrame,
    books: Books,
    settings: BacktestSettings,
    horizon_minutes: int,
    trials: int,
    progress: Progress = silent,
    recorded: Mapping[int, Books] | None = None,
) -> Backtested:
    """Trade what `action` of scored rows says, as the package's docstring lays down.

    Args:
        rows: scored rows; `time` and `action` are read.
        books: a book a minute, from the first row's minute to a horizon after the last one's.
        settings: of orders, costs and the account.
        horizon_minutes: how long a position is held.
        trials: how many models were tried before this one was chosen.
        progress: how far it is.
        recorded: by latency in ms, books that orders of that latency meet, instead of the minutes'.

    Raises:
        ValueError: for a row without a book, an action that is no class, or a latency above the
            horizon.
    """
    latencies = list(dict.fromkeys([settings.latency_ms, *settings.latencies_ms]))
    if max(latencies) > horizon_minutes * MS_PER_MINUTE:
        raise ValueError(f"latencies of at most {horizon_minutes} minutes expected: {latencies} ms")
    venues = {latency: (recorded or {}).get(latency, books) for latency in latencies}
    net: dict[int, float] = {}
    for number, latency in enumerate(
        reversed(latencies)
    ):  # the settings' own comes last, and stays
        progress(number, len(latencies), f"{latency} ms")
        desk = _played(rows, books, venues[latency], settings, horizon_minutes, latency)
        net[latency] = float(desk.course[-1, EQUITY]) - desk.rules.initial_balance
    progress(len(latencies), len(latencies), "")
    exact = all(venues[ms] is not books for ms in latencies if ms % MS_PER_MINUTE)
    trades, equity = trades_of(desk, settings.latency_ms), equity_of(desk)
    judged = Judged(settings, horizon_minutes, trials, "archive" if exact else "minutes")
    by_latency = {str(latency): net[latency] for latency in settings.latencies_ms}
    return Backtested(result_of(desk, trades, equity, by_latency, judged), trades, equity)


def _played(
    rows: pd.DataFrame,
    books: Books,
    venue: Books,
    settings: BacktestSettings,
    horizon_minutes: int,
    latency_ms: int,
) -> Desk:
    """Go through the minutes from the first signal until the last one's position must have left."""
    horizon_ms = horizon_minutes * MS_PER_MINUTE
    known = rows["time"].dt.as_unit("ms").astype(np.int64).to_numpy() + MS_PER_MINUTE
    last = known[-1] + horizon_ms + latency_ms
    first, end = np.searchsorted(books.time_ms, [known[0], last])
    minutes = books.between(int(first), int(end) + 1)
    signal = _signals(minutes.time_ms, known, rows["action"].to_numpy())
    met = np.searchsorted(venue.time_ms, minutes.time_ms + latency_ms)
    desk = new_desk(minutes, signal, met, venue, _rules(settings, horizon_ms))
    play(desk)
    return desk


def _signals(minutes_ms: Integers, known_ms: Integers, action: npt.NDArray[Any]) -> Signals:
    """The rows' actions as -1, 0 and 1, by minute."""
    unknown = np.flatnonzero(~np.isin(action, np.arange(len(CLASSES))))
    if len(unknown):
        raise ValueError(f"an action is 0, 1 or 2, got {action[unknown[0]]}")
    place = np.minimum(np.searchsorted(minutes_ms, known_ms), len(minutes_ms) - 1)
    absent = np.flatnonzero(minutes_ms[place] != known_ms) if len(minutes_ms) else [0]
    if len(absent):
        when = pd.Timestamp(int(known_ms[absent[0]]) - MS_PER_MINUTE, unit="ms", tz="UTC")
        raise ValueError(f"no book for the row of {when}: {len(absent)} rows are without")
    signal = np.zeros(len(minutes_ms), np.int8)
    signal[place] = action.astype(np.int8) - CLASSES.index("NEUTRAL")
    return signal


def _rules(settings: BacktestSettings, horizon_ms: int) -> Rules:
    account = settings.account
    balance = account.initial_balance
    return Rules(
        horizon_ms=horizon_ms,
        notional=settings.notional,
        max_position=settings.max_position,
        taker_fee=settings.taker_fee,
        funding_rate=settings.funding_rate,
        funding_ms=settings.funding_hours * MS_PER_HOUR,
        initial_balance=balance,
        daily_loss=account.max_daily_loss * balance,
        total_loss=account.max_total_loss * balance,
        profit_target=account.profit_target * balance,
        min_trading_days=account.min_trading_days,
    )
