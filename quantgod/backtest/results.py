"""Compute the figures of a backtest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from quantgod.backtest import engine
from quantgod.backtest.engine import Desk
from quantgod.backtest.performance import ratios, skill
from quantgod.evaluation.evidence import BREACHES, BacktestResult
from quantgod.evaluation.groupings import by_session
from quantgod.settings import BacktestSettings

OUTCOMES: Final = ("open", "target", *BREACHES)
"""Outcomes of an account, by the engine's number."""


@dataclass(frozen=True)
class Terms:
    """The settings and the search that a backtest is judged by; see `backtest.backtest`."""

    settings: BacktestSettings
    horizon_minutes: int
    trials: int
    books: str


def result_of(
    desk: Desk,
    trades: pd.DataFrame,
    equity: pd.DataFrame,
    by_latency: dict[str, float],
    judged: Terms,
) -> BacktestResult:
    """Return the figures of a finished loop."""
    settings, counters = judged.settings, desk.counters
    gains = np.diff(equity["equity"].to_numpy(), prepend=desk.rules.initial_balance)
    found = ratios(gains, judged.horizon_minutes, len(trades))
    luck = skill(gains, judged.horizon_minutes, judged.trials)
    net, total = trades["net"], trades.sum(numeric_only=True)
    return BacktestResult(
        trades=len(trades),
        net_pnl=found.net,
        gross_pnl=float(total["gross"]),
        fees=float(total["fees"]),
        funding=float(total["funding"]),
        slippage=float(total["slippage"]),
        turnover=float(total["turnover"]),
        hit_rate=float((net > 0).mean()) if len(net) else 0.0,
        profit_factor=_profit_factor(net),
        sharpe=found.sharpe,
        sortino=found.sortino,
        probabilistic_sharpe=luck.probabilistic,
        deflated_sharpe=luck.deflated,
        trials=judged.trials,
        max_drawdown=float(equity["drawdown"].max()),
        average_drawdown=float(equity["drawdown"].mean()),
        exposure=float((equity["position"] != 0).mean()),
        outcome=OUTCOMES[counters[engine.OUTCOME]],
        by_latency=by_latency,
        by_session=_by_session(trades),
        drift=float(total["drift"]),
        minutes=len(equity),
        observations=luck.observations,
        initial_balance=settings.account.initial_balance,
        trading_days=int(counters[engine.TRADING_DAYS]),
        target_at=_moment(desk, int(counters[engine.TARGET_ROW])),
        ended_at=_moment(desk, int(counters[engine.END_ROW])),
        signals=int(np.count_nonzero(desk.signal)),
        ignored=int(counters[engine.IGNORED]),
        lapsed=int(counters[engine.LAPSED]),
        partial=int(counters[engine.PARTIAL]),
        thin_exits=int(counters[engine.THIN]),
        books=judged.books,
    )


def _profit_factor(net: pd.Series[float]) -> float | None:
    losses = float(-net[net < 0].sum())
    return float(net[net > 0].sum()) / losses if losses > 0 else None


def _by_session(trades: pd.DataFrame) -> dict[str, float]:
    cut = by_session(trades["entry_time"])
    sums = np.bincount(cut.place, trades["net"], len(cut.names)).tolist()
    return dict(zip(cut.names, sums, strict=True))


def _moment(desk: Desk, row: int) -> str | None:
    if row < 0:
        return None
    return pd.Timestamp(int(desk.minutes.time_ms[row]), unit="ms", tz="UTC").isoformat()
