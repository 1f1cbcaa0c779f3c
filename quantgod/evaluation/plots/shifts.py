"""Draw the shift of each column from the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from quantgod.contracts import CLASSES, Floats
from quantgod.evaluation.drift import Shift
from quantgod.evaluation.plots.style import MODEL_COLOURS, OTHER_COLOUR, blank


def shifts(found: Mapping[str, Shift], psi_limit: float | None, ks_limit: float | None) -> Figure:
    """Draw both statistics of each column, with the limits of the gates, if any."""
    figure = blank(9.5, 1.2 + 0.34 * len(found))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(found))
    for axes, values, limit, title in (
        (left, [item.psi for item in found.values()], psi_limit, "population stability index"),
        (right, [item.ks for item in found.values()], ks_limit, "Kolmogorov-Smirnov distance"),
    ):
        over = [limit is not None and value > limit for value in values]
        colours = ["#d55e00" if beyond else "#0072b2" for beyond in over]
        axes.hlines(places, 0, values, color=colours, linewidth=2)
        axes.scatter(values, places, c=colours, zorder=3)
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                f"{value:.2f}", (value, place), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize="small",
            )  # fmt: skip
        if limit is not None:
            axes.axvline(limit, color="black", linestyle="--", linewidth=1, label="limit")
            axes.legend(frameon=False, loc="lower right")
        axes.set(xlabel=title, xlim=(0, 1.2 * max([*values, limit or 0.0, 1e-9])))
    left.set_yticks(places, [name.replace("_", " ") for name in found])
    left.invert_yaxis()
    return figure


def forecast_shift(
    before: Mapping[str, Floats], now: Mapping[str, Floats], found: Mapping[str, Shift]
) -> Figure:
    """Draw probabilities out of fold (m, 3) and on the test part (n, 3), one row per model.

    Args:
        before: out-of-fold probabilities by model.
        now: test probabilities by model.
        found: their shift by model and class (`auditor_sell`, ...).
    """
    figure = blank(11, 0.8 + 2.7 * len(before))
    grid: Any = figure.subplots(len(before), len(CLASSES), squeeze=False, sharex=True)
    edges = np.linspace(0, 1, 41).tolist()
    for row, model in zip(grid, before, strict=True):
        for number, (axes, name) in enumerate(zip(row, CLASSES, strict=True)):
            colour = MODEL_COLOURS.get(model, OTHER_COLOUR)
            for values, style in (
                (before[model], {"histtype": "step", "color": "black", "label": "out of fold"}),
                (now[model], {"color": colour, "alpha": 0.5, "label": "test part"}),
            ):
                weights = np.full(len(values), 100 / len(values))
                axes.hist(values[:, number], edges, weights=weights, **style)
            apart = found[f"{model}_{name.lower()}"]
            axes.set_title(f"{model}, {name}: PSI {apart.psi:.2f}, KS {apart.ks:.2f}")
            axes.set_xlim(0, 1)
        row[0].set_ylabel("share of rows, %")
        row[0].legend(loc="upper right", frameon=False)
    for axes in grid[-1]:
        axes.set_xlabel("probability")
    return figure
