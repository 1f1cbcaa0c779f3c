"""Draw learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quantgod.evaluation.plots.style import SERIES_COLOURS, blank, in_a_row


def curves(
    x: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str = "epoch"
) -> Figure:
    """Draw named series over `x`, in one panel per y-label."""
    figure = blank(4.6 * len(panels), 3.6)
    row = in_a_row(figure, len(panels))
    for axes, (ylabel, series) in zip(row, panels.items(), strict=True):
        for colour, (name, values) in zip(SERIES_COLOURS, series.items(), strict=False):
            axes.plot(x[: len(values)], values, color=colour, label=name, marker=".")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        if len(series) > 1:
            axes.legend(loc="upper right", frameon=False)
    return figure
