"""Draw the figures of a backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from quantgod.evaluation.evidence import BacktestResult
from quantgod.evaluation.groupings import HOURS_PER_SESSION
from quantgod.evaluation.plots.style import CLASS_COLOURS, OTHER_COLOUR, blank
from quantgod.evaluation.wording import account_text

LOSS, _, GAIN = CLASS_COLOURS
POINTS: Final = 5_000
"""Maximal number of drawn minutes; a year has a hundred times as many."""


def equity_figure(equity: pd.DataFrame, result: BacktestResult) -> Figure:
    """Draw the account's equity above its drawdown, with the breach that ended it, if any."""
    figure = blank(10, 5.5)
    panels: Any = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper, lower = panels
    shown = _thinned(equity)
    upper.plot(shown.index, shown["equity"], color=GAIN, linewidth=1, label="equity (at mid)")
    upper.plot(
        shown.index, shown["balance"], color=OTHER_COLOUR, linewidth=0.8, label="balance (realised)"
    )
    upper.axhline(result.initial_balance, color="0.5", linewidth=0.8, linestyle=":")
    for when, colour, name in (
        (result.target_at, GAIN, "target reached"),
        (result.ended_at, LOSS, f"ended: {account_text(result.outcome)}"),
    ):
        if when is not None:
            upper.axvline(
                pd.Timestamp(when), color=colour, linewidth=1.2, linestyle="--", label=name
            )
    upper.set_ylabel("quote currency")
    upper.yaxis.set_major_formatter(_thousands())
    upper.legend(loc="upper left", frameon=False)
    lower.fill_between(shown.index, shown["drawdown"], 0, color=LOSS, alpha=0.6, linewidth=0)
    lower.set_ylabel("drawdown")
    lower.yaxis.set_major_formatter(PercentFormatter(1))
    lower.set_ylim(bottom=0)
    lower.invert_yaxis()
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return figure


def latency_figure(by_latency: Mapping[str, float], books: str) -> Figure:
    """Draw net PnL by latency, the time from a close to the order at the exchange."""
    names = [_duration(int(latency)) for latency in by_latency]
    figure = _bars(names, list(by_latency.values()), "latency")
    if books == "minutes":
        figure.supxlabel(
            "books are a minute apart: from 1 ms to a minute, orders meet the same one",
            fontsize="small", color="0.4",
        )  # fmt: skip
    return figure


def session_figure(by_session: Mapping[str, float]) -> Figure:
    """Draw net PnL by the session in which trades were entered."""
    hours = range(0, HOURS_PER_SESSION * len(by_session), HOURS_PER_SESSION)
    names = [
        f"{name}\n{hour} to {hour + HOURS_PER_SESSION} UTC"
        for name, hour in zip(by_session, hours, strict=True)
    ]
    return _bars(names, list(by_session.values()), "session of entry")


def costs_figure(result: BacktestResult) -> Figure:
    """Draw the steps from gross to net PnL, cost by cost."""
    steps = {"slippage": -result.slippage, "fees": -result.fees, "funding": -result.funding}
    ends = np.cumsum([result.gross_pnl, *steps.values()])
    names = ["gross", *steps, "net"]
    bottoms = [0.0, *ends[:-1], 0.0]
    heights = [result.gross_pnl, *steps.values(), float(ends[-1])]
    figure = blank(7.5, 4)
    axes = figure.subplots()
    colours = [_colour(height) for height in heights]
    bars = axes.bar(names, heights, bottom=bottoms, color=colours, width=0.6)
    for place, end in enumerate(ends):
        axes.hlines(end, place + 0.3, place + 0.7, color="0.5", linewidth=0.8)
    axes.bar_label(bars, [_signed(height) for height in heights], padding=3)
    _finish(axes, "PnL, quote currency")
    return figure


def _bars(names: Sequence[str], values: Sequence[float], xlabel: str) -> Figure:
    figure = blank(1.5 + 1.2 * len(names), 3.8)
    axes = figure.subplots()
    bars = axes.bar(names, values, color=[_colour(value) for value in values], width=0.6)
    axes.bar_label(bars, [_signed(value) for value in values], padding=3)
    axes.set_xlabel(xlabel)
    _finish(axes, "net PnL, quote currency")
    return figure


def _finish(axes: Axes, ylabel: str) -> None:
    axes.set_ylabel(ylabel)
    axes.axhline(0, color="0.5", linewidth=0.8)
    axes.yaxis.set_major_formatter(_thousands())
    axes.use_sticky_edges = False
    axes.margins(y=0.12)


def _thousands() -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def _signed(value: float) -> str:
    """Return a sum of money with its sign; zero has none."""
    text = f"{value:+,.0f}"
    return "0" if text in ("+0", "-0") else text


def _colour(value: float) -> str:
    return GAIN if value >= 0 else LOSS


def _thinned(equity: pd.DataFrame) -> pd.DataFrame:
    """Return evenly spaced minutes, always with the last one."""
    step = -(-len(equity) // POINTS)
    return equity.iloc[np.unique([*range(0, len(equity), step), len(equity) - 1])]


def _duration(milliseconds: int) -> str:
    if milliseconds and milliseconds % 60_000 == 0:
        return f"{milliseconds // 60_000} min"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:g} s"
