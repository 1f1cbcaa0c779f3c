"""Draw what members learned, and how an ensemble weighs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from quantgod.contracts import Floats
from quantgod.evaluation.plots.style import PALE_TO_BLUE, SERIES_COLOURS, blank, in_a_row

Times = npt.NDArray[np.datetime64]

_ROWS_SHOWN: Final = 120


def attention_heatmap(time: Times, weights: Floats) -> Figure:
    """Draw which candles of its window a network looks at, by date, and on average.

    Args:
        time: (n,) moments of the forecasts, oldest first.
        weights: (n, window) shares of attention, the newest candle last; at most 120 moments,
            evenly spaced, are drawn.
    """
    chosen = np.unique(np.linspace(0, len(time) - 1, min(_ROWS_SHOWN, len(time))).astype(int))
    window = weights.shape[1]
    figure = blank(9, 6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 3])
    back = np.arange(-window + 1, 1)
    upper.fill_between(back, weights.mean(axis=0) * 100, step="mid", color=SERIES_COLOURS[0])
    upper.axhline(100 / window, color="0.5", linewidth=0.8, linestyle="dashed")
    upper.set(ylabel="mean, %", xlim=(back[0] - 0.5, 0.5))
    upper.set_title("dashed: all candles alike", fontsize="small", color="0.4", loc="right")
    image = lower.imshow(
        weights[chosen] * 100, aspect="auto", cmap=PALE_TO_BLUE, vmin=0, interpolation="nearest",
        extent=(back[0] - 0.5, 0.5, len(chosen) - 0.5, -0.5),
    )  # fmt: skip
    shown = np.unique(np.linspace(0, len(chosen) - 1, 7).astype(int))
    days = np.datetime_as_string(time[chosen[shown]].astype("datetime64[D]"))
    lower.set_yticks(shown, list(days))
    lower.set(xlabel="candles before the newest one", ylabel="moment of the forecast")
    figure.colorbar(image, ax=[upper, lower], label="share of the attention, %")
    return figure


def feature_importance(by_horizon: Mapping[str, Mapping[str, float]], top: int = 30) -> Figure:
    """Draw the features that trees use most: a panel per horizon, ordered by the mean share.

    Args:
        by_horizon: importances of features, of any scale; drawn as shares of their sum.
        top: number of features.
    """
    shares = {
        horizon: {name: value / (sum(found.values()) or 1) for name, value in found.items()}
        for horizon, found in by_horizon.items()
    }
    names = dict.fromkeys(name for found in shares.values() for name in found)
    mean = {name: sum(found.get(name, 0.0) for found in shares.values()) for name in names}
    chosen = sorted(names, key=lambda name: -mean[name])[:top]
    figure = blank(2.4 + 2.8 * len(shares), 1.2 + 0.24 * len(chosen))
    panels = in_a_row(figure, len(shares), sharey=True)
    for axes, (horizon, found) in zip(panels, shares.items(), strict=True):
        values = [100 * found.get(name, 0.0) for name in chosen]
        axes.barh(range(len(chosen)), values, color=SERIES_COLOURS[0])
        axes.set(title=horizon, xlabel="share of all gain, %")
    panels[0].set_yticks(range(len(chosen)), chosen)
    panels[0].tick_params(axis="y", labelsize=8)
    panels[0].set_ylim(len(chosen) - 0.4, -0.6)
    return figure


def ensemble_weights(time: Times, weights: Mapping[str, Mapping[str, Floats]]) -> Figure:
    """Draw the weight of each expert over time, one panel per horizon.

    Args:
        time: (n,) moments, oldest first.
        weights: (n,) by horizon and expert; NaN where there is none.
    """
    figure = blank(10, 1.2 + 2.3 * len(weights))
    panels: Any = figure.subplots(len(weights), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, (horizon, experts) in zip(panels, weights.items(), strict=True):
        for place, (name, values) in enumerate(experts.items()):
            colour = SERIES_COLOURS[place % len(SERIES_COLOURS)]
            style = "solid" if place < len(SERIES_COLOURS) else "dashed"
            label = name.replace("_", " ")
            axes.plot(time, values, color=colour, linestyle=style, linewidth=1.2, label=label)
        axes.axhline(1 / len(experts), color="0.5", linewidth=0.8, linestyle="dotted")
        axes.set(ylabel=f"weight, {horizon}")
    panels[0].set_ylim(min(0, panels[0].get_ylim()[0]), max(1.0, panels[0].get_ylim()[1]))
    panels[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=6)
    dates(panels[-1])
    return figure


def dates(axes: Axes) -> None:
    """Write dates below a panel."""
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC")
