"""Draw the importance of features, and their contributions to scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantgod.contracts import CLASSES, Floats
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import (
    BLUE_TO_RED,
    MODEL_COLOURS,
    OTHER_COLOUR,
    blank,
    in_a_row,
)


def importance(
    values: Mapping[str, float], xlabel: str = "importance", title: str = "", top: int = 20
) -> Figure:
    """Draw horizontal bars of the `top` largest values, the largest on top."""
    chosen = sorted(values.items(), key=lambda item: item[1])[-top:]
    figure = blank(7, 1.2 + 0.28 * len(chosen))
    axes = figure.subplots()
    bars = axes.barh([name for name, _ in chosen], [value for _, value in chosen], color="#0072b2")
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set(xlabel=xlabel, title=title)
    axes.margins(x=0.12)
    return figure


def contributions(
    values: Floats, features: Floats, names: Sequence[str], rows: int = 1000
) -> Figure:
    """Draw each feature's contribution to each class's score: one panel per class, one dot per row.

    Args:
        values: (n, 3, features + 1), XGBoost's `pred_contribs`; the last column, the bias, is left
            out.
        features: (n, features), which colour the dots by their rank.
        names: of the features.
        rows: maximal number of rows to draw, evenly spaced.
    """
    chosen = np.unique(np.linspace(0, len(values) - 1, min(rows, len(values))).astype(int))
    values, features = values[chosen, :, :-1], features[chosen]
    order = np.argsort(np.abs(values).mean(axis=(0, 1)))
    figure = blank(12, 1.6 + 0.33 * len(names))
    panels: Any = figure.subplots(1, len(CLASSES), sharey=True)
    for number, axes in enumerate(panels):
        for place, feature in enumerate(order):
            dots = _beeswarm(axes, place, values[:, number, feature], features[:, feature])
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.set(title=CLASSES[number], xlabel="contribution to the score (log-odds)")
    panels[0].set_yticks(range(len(names)), [names[feature] for feature in order])
    bar = figure.colorbar(dots, ax=panels, label="value of the feature", aspect=40, pad=0.01)
    bar.set_ticks([0, 1], labels=["low", "high"])
    return figure


def group_importance(panels: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> Figure:
    """Draw the cost of permuting each group of features, one panel per score."""
    groups = list(next(iter(next(iter(panels.values())).values())))
    figure = blank(4.8 * len(panels), 1.6 + 0.45 * len(groups))
    first, *others = in_a_row(figure, len(panels), sharey=True)
    for axes, (title, models) in zip([first, *others], panels.items(), strict=True):
        height = 0.8 / len(models)
        for number, (model, found) in enumerate(models.items()):
            places = np.arange(len(groups)) + (number - (len(models) - 1) / 2) * height
            value = np.array([found[group].value for group in groups])
            low, high = np.array(
                [
                    found[group][1:3] if found[group].enough else (found[group].value,) * 2
                    for group in groups
                ]
            ).T
            colour = MODEL_COLOURS.get(model, OTHER_COLOUR)
            axes.barh(places, value, height * 0.9, color=colour, alpha=0.75, label=model)
            axes.hlines(places, low, high, color="black", linewidth=1.2)
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.set_xlabel(title)
    first.set_yticks(range(len(groups)), groups)
    first.invert_yaxis()
    handles, names = first.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
    return figure


def _beeswarm(axes: Axes, place: int, values: Floats, feature: Floats) -> Any:
    """Draw dots along a line, spread out where they are dense; return them for the colour bar."""
    rank = np.argsort(np.argsort(feature, kind="stable")) / max(len(feature) - 1, 1)
    counts, edges = np.histogram(values, bins=60)
    bin_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(counts) - 1)
    crowd = counts[bin_of] / max(counts.max(), 1)
    # The golden ratio fills the width evenly without random numbers.
    offset = (np.arange(len(values)) * 0.6180339887 % 1 - 0.5) * 0.8 * crowd
    return axes.scatter(
        values, place + offset, c=rank, cmap=BLUE_TO_RED, s=5, linewidths=0, vmin=0, vmax=1
    )
