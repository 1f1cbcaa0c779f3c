"""Draw returns, the thresholds of the classes, and class shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantgod.contracts import CLASSES, Floats, Integers
from quantgod.dataset.labels import NO_TARGET
from quantgod.evaluation.plots.style import CLASS_COLOURS, blank, in_a_row
from quantgod.settings import LabelSettings


def label_distribution(table: pd.DataFrame, settings: LabelSettings) -> Figure:
    """Draw the forward returns of a labelled table with the thresholds, and the class shares."""
    figure = blank(10, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    known = table[table["target"] != NO_TARGET]
    target, forward = known["target"].to_numpy(), known["forward_return"].to_numpy()
    edges = _return_edges(forward, settings)
    for number, name in enumerate(CLASSES):
        chosen = np.clip(forward[target == number], edges[0], edges[-1])
        left.hist(chosen * 100, (edges * 100).tolist(), color=CLASS_COLOURS[number], label=name)
    for cut in (settings.sell_below, settings.buy_above):
        left.axvline(cut * 100, color="black", linewidth=0.8, linestyle=":")
    left.set(
        xlabel=f"log return of the next {settings.horizon_minutes} minutes, % (tails in end bins)",
        ylabel="minutes",
    )
    left.legend(loc="upper right", frameon=False)
    _class_bars(right, target)
    right.set_ylabel("share of labelled minutes, %")
    return figure


def class_balance(targets: Mapping[str, Integers]) -> Figure:
    """Draw the share of each class in each part (train, validation, test)."""
    figure = blank(1.5 + 2.6 * len(targets), 3.6)
    first, *others = in_a_row(figure, len(targets), sharey=True)
    for axes, (name, target) in zip([first, *others], targets.items(), strict=True):
        _class_bars(axes, target)
        axes.set_title(f"{name} ({len(target):,})")
    first.set_ylabel("share of samples, %")
    return figure


def _return_edges(forward_return: Floats, settings: LabelSettings) -> npt.NDArray[Any]:
    """Return bins of equal width over 99 % of the returns, with both thresholds on edges."""
    width = (settings.buy_above - settings.sell_below) / 24
    reach = np.quantile(np.abs(forward_return), 0.995) if len(forward_return) else 0.0
    below = max(8, int(np.ceil((reach + settings.sell_below) / width)))
    above = max(8, int(np.ceil((reach - settings.buy_above) / width)))
    steps = np.arange(-below, 25 + above)
    return np.asarray(settings.sell_below + width * steps)


def _class_bars(axes: Axes, target: Integers) -> None:
    counts = np.bincount(target, minlength=len(CLASSES))
    bars = axes.bar(CLASSES, counts / max(counts.sum(), 1) * 100, color=CLASS_COLOURS)
    axes.bar_label(bars, [f"{count / max(counts.sum(), 1):.1%}\n{count:,}" for count in counts])
    axes.margins(y=0.2)
