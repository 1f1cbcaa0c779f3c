"""Backtest scored rows: run the signals through the engine once per latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from quantgod.backtest.books import Books, checked
from quantgod.backtest.engine import EQUITY, Rules, new_desk, play
from quantgod.backtest.results import Terms, result_of
from quantgod.backtest.signals import latencies_of, may_order, signals_of, venue_of
from quantgod.backtest.trades import EQUITY_FILE, TRADES_FILE, equity_of, trades_of
from quantgod.contracts import MS_PER_MINUTE, Progress, silent
from quantgod.evaluation.evidence import BacktestResult
from quantgod.files import atomic_path
from quantgod.settings import BacktestSettings

MS_PER_HOUR: Final = 60 * MS_PER_MINUTE
KEY_FIGURES: Final = (
    "gross_pnl", "turnover", "trades", "hit_rate", "max_drawdown", "deflated_sharpe"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Backtest:
    """The result of a backtest.

    Attributes:
        result: its figures.
        trades: see `trades.trades_of`; at the settings' latency.
        equity: see `trades.equity_of`; at the settings' latency.
    """

    result: BacktestResult
    trades: pd.DataFrame
    equity: pd.DataFrame

    def metrics(self) -> dict[str, float]:
        """Return the figures by which runs are compared, under names valid in MLflow."""
        net = self.result.net_pnl
        return {
            "net_pnl": net.value,
            "net_pnl_low": net.low,
            "net_pnl_high": net.high,
            "sharpe": self.result.sharpe.value,
            **{name: float(getattr(self.result, name)) for name in KEY_FIGURES},
        }

    def write(self, folder: Path) -> None:
        """Write trades and equity as Parquet files to `folder`, atomically."""
        for name, frame in ((TRADES_FILE, self.trades), (EQUITY_FILE, self.equity)):
            with atomic_path(folder / name) as part:
                frame.to_parquet(part, compression="zstd")


def backtest(
    rows: pd.DataFrame,
    books: Books,
    settings: BacktestSettings,
    horizon_minutes: int,
    trials: int,
    progress: Progress = silent,
    recorded: Books | None = None,
) -> Backtest:
    """Trade the `action` of scored rows by the rules of the package's docstring.

    Args:
        rows: scored rows; `time` and `action` are read.
        books: one book per minute, from the first row's minute to a horizon after the last one.
        settings: of orders, costs and the account.
        horizon_minutes: how long a position is held.
        trials: number of models tried before this one was chosen.
        progress: called after each latency.
        recorded: books at `signals.order_moments`, where known.

    Raises:
        ValueError: for a row without a book, an unknown action, a latency above the horizon, or a
            one-sided book.
    """
    minutes, signal = signals_of(rows, checked(books), settings, horizon_minutes)
    rules = _rules(settings, horizon_minutes)
    may = may_order(minutes.time_ms, signal, rules.horizon_ms)
    net: dict[int, float] = {}
    latencies = latencies_of(settings)
    for number, latency in enumerate(
        reversed(latencies)
    ):  # the settings' own latency comes last, and its result is kept
        progress(number, len(latencies), f"{latency} ms")
        venue, met = venue_of(minutes, may, latency, recorded)
        desk = new_desk(minutes, signal, met, venue, rules)
        play(desk)
        net[latency] = float(desk.course[-1, EQUITY]) - rules.initial_balance
    progress(len(latencies), len(latencies), "")
    trades, equity = trades_of(desk, settings.latency_ms), equity_of(desk)
    by_latency = {str(latency): net[latency] for latency in settings.latencies_ms}
    source = "minutes" if recorded is None else "archive"
    judged = Terms(settings, horizon_minutes, trials, source)
    return Backtest(result_of(desk, trades, equity, by_latency, judged), trades, equity)


def _rules(settings: BacktestSettings, horizon_minutes: int) -> Rules:
    account = settings.account
    balance = account.initial_balance
    return Rules(
        horizon_ms=horizon_minutes * MS_PER_MINUTE,
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
