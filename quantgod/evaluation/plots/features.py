"""Draw how features are distributed, and how often each is missing."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from quantgod.contracts import Floats
from quantgod.evaluation.plots.style import OTHER_COLOUR, SERIES_COLOURS, blank


def feature_spreads(names: tuple[str, ...], missing: Floats, quantiles: Floats) -> Figure:
    """Draw a line for each feature: its middle half, its middle 98 %, and its missing share.

    Args:
        names: of the features.
        missing: (features,) shares of rows without a value.
        quantiles: (features, 5) at 1, 25, 50, 75 and 99 %; drawn less the median, over the distance
            of the outer two, so that every feature fits.
    """
    figure = blank(9, 1.2 + 0.16 * len(names))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    rows = np.arange(len(names))
    width = quantiles[:, 4] - quantiles[:, 0]
    placed = (quantiles - quantiles[:, 2:3]) / np.where(width > 0, width, 1.0)[:, None]
    left.hlines(rows, placed[:, 0], placed[:, 4], color=OTHER_COLOUR, linewidth=1)
    left.hlines(rows, placed[:, 1], placed[:, 3], color=SERIES_COLOURS[0], linewidth=4)
    left.plot(placed[:, 2], rows, "k|", markersize=5)
    left.set_yticks(rows, [f"{n} ({at:.3g})" for n, at in zip(names, quantiles[:, 2], strict=True)])
    left.tick_params(axis="y", labelsize=6)
    left.set(
        xlabel="less the median (in brackets), over the middle 98 %; thick: the middle half",
        xlim=(-1.02, 1.02),
    )
    left.set_ylim(len(names) - 0.5, -0.5)
    right.barh(rows, missing * 100, color=SERIES_COLOURS[1])
    right.set(xlabel="minutes without a value, %", xlim=(0, 100))
    return figure
