"""What a backtest leaves behind: figures, flat metrics, files."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from quantgod.backtest import Backtest, backtest, figures
from quantgod.evaluation.evidence import BacktestResult, read_evidence, write_evidence
from quantgod.tracking.summary import KEY_FIGURES
from tests.backtest.markets import BUY, NEUTRAL, SELL, books, rows, settings, walk
from tests.evaluation.plots.overlaps import overlapping


@pytest.fixture(scope="module")
def backtested() -> Backtest:
    actions = np.random.default_rng(0).choice([SELL, NEUTRAL, BUY], 9000)
    given = settings(
        latency_ms=250, latencies_ms=(0, 250, 1500, 60_000), taker_fee=0.0005,
        account={"max_daily_loss": 0.05},
    )  # fmt: skip
    return backtest(rows(actions), books(walk(9100), half_spread=0.02), given, 60, 5)


def text_of(figure: Figure) -> str:
    figure.savefig(io.BytesIO())
    return " ".join(
        text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))
    )


def test_the_course_tells_how_the_account_ended(backtested: Backtest) -> None:
    assert backtested.result.outcome == "daily_loss"
    text = text_of(figures.equity_figure(backtested.equity, backtested.result))
    for word in ("equity", "balance", "drawdown", "ended: daily loss", "9,500"):
        assert word in text


def test_the_smallest_drawdown_can_be_read_off_its_axis(backtested: Backtest) -> None:
    equity = backtested.equity.assign(drawdown=backtested.equity["drawdown"] / 1000)
    figure = figures.equity_figure(equity, backtested.result)
    figure.savefig(io.BytesIO())
    ticks = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert len(set(ticks)) == len(ticks)
    assert "\N{MINUS SIGN}" not in "".join(ticks)


def test_axes_tell_money_in_thousands_and_drawdowns_in_percent(backtested: Backtest) -> None:
    figure = figures.equity_figure(backtested.equity, backtested.result)
    upper, lower = (axes.yaxis.get_major_formatter() for axes in figure.axes)
    lower.axis.set_view_interval(0, 0.5)
    assert (upper(12_345.6, 0), lower(0.25, 0)) == ("12,346", "25%")


def test_the_waterfall_leads_from_gross_to_net(backtested: Backtest) -> None:
    result = backtested.result
    text = text_of(figures.costs_figure(result))
    for value in (result.gross_pnl, -result.slippage, -result.fees, result.net_pnl.value):
        assert f"{value:+,.0f}" in text
    assert result.funding == 0
    assert "-0" not in text.split()


def test_latencies_and_sessions_are_named(backtested: Backtest) -> None:
    result = backtested.result
    latency = text_of(figures.latency_figure(result.by_latency, result.books))
    for word in ("0 ms", "250 ms", "1.5 s", "1 min", "a minute apart"):
        assert word in latency
    assert "a minute apart" not in text_of(figures.latency_figure(result.by_latency, "archive"))
    session = text_of(figures.session_figure(result.by_session))
    for word in ("Tokyo", "0 to 8 UTC", "New York", "16 to 24 UTC"):
        assert word in session


def test_no_text_lies_over_another(backtested: Backtest) -> None:
    result, equity = backtested.result, backtested.equity
    for figure in (
        figures.equity_figure(equity, result),
        figures.costs_figure(result),
        figures.latency_figure(result.by_latency, "minutes"),
        figures.session_figure(result.by_session),
    ):
        assert overlapping(figure) == []


def test_metrics_are_flat_numbers(backtested: Backtest) -> None:
    metrics = backtested.metrics()
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["net_pnl_low"] <= metrics["net_pnl"] <= metrics["net_pnl_high"]
    assert metrics["trades"] == backtested.result.trades
    assert set(KEY_FIGURES["backtest"]) <= metrics.keys() and len(metrics) <= 10


def test_what_is_written_is_read_back(backtested: Backtest, tmp_path: Path) -> None:
    backtested.write(tmp_path)
    trades, equity = (
        pd.read_parquet(tmp_path / name) for name in ("trades.parquet", "equity.parquet")
    )
    pd.testing.assert_frame_equal(trades, backtested.trades, check_categorical=False)
    pd.testing.assert_frame_equal(equity, backtested.equity, check_freq=False)
    write_evidence(tmp_path / "backtest.json", backtested.result)
    assert read_evidence(tmp_path / "backtest.json", BacktestResult) == backtested.result
