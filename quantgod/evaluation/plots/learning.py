"""How learning went: curves over epochs, scores over trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quantgod.evaluation.plots.style import SERIES_COLOURS, blank


def curves(
    x: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str = "epoch"
) -> Figure:
    """Learning curves and the like: a panel for each y-label, holding named series over `x`."""
    figure = blank(4.6 * len(panels), 3.6)
    row: Any = figure.subplots(1, len(panels), squeeze=False)
    for axes, (ylabel, series) in zip(row[0], panels.items(), strict=True):
        for colour, (name, values) in zip(SERIES_COLOURS, series.items(), strict=False):
            axes.plot(x[: len(values)], values, color=colour, label=name, marker=".")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        if len(series) > 1:
            axes.legend(loc="upper right", frameon=False)
    return figure


def search_history(scores: Sequence[float | None], ylabel: str = "macro-F1") -> Figure:
    """The score of each trial in order and the best so far; None marks one that did not finish."""
    values = np.array([np.nan if score is None else score for score in scores], np.float64)
    done = np.isfinite(values)
    best = np.fmax.accumulate(values)
    figure = blank(7, 3.8)
    axes = figure.subplots()
    trials = np.arange(len(values))
    axes.scatter(trials[done], values[done], color="#0072b2", label="finished", zorder=3)
    axes.step(trials, best, where="post", color="#d55e00", label="best so far")
    if not done.all():
        floor = np.full((~done).sum(), np.nanmin(values) if done.any() else 0.0)
        axes.scatter(trials[~done], floor, color="0.5", marker="x", label="pruned or failed")
    axes.set(xlabel="trial", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="lower right", frameon=False)
    return figure
