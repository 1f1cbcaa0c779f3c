"""Draw the test part over time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from quantgod.contracts import CLASSES, Floats, Integers
from quantgod.evaluation.plots.style import CLASS_COLOURS, SERIES_COLOURS, blank

POINTS: Final = 700
"""Number of time intervals of a long part; each is drawn by its mean, lowest and highest value."""


def timeline(
    time: pd.Series[Any], close: Floats, probabilities: Floats, strips: dict[str, Integers]
) -> Figure:
    """Draw price, probabilities of moves, and the true and decided SELL and BUY.

    Args:
        time: (n,) minutes.
        close: (n,) closes of these minutes.
        probabilities: (n, 3).
        strips: classes (n,) by name; NEUTRAL is left blank.
    """
    figure = blank(12, 6.2)
    panels: Any = figure.subplots(3, 1, sharex=True, height_ratios=[2, 2, 0.4 + 0.4 * len(strips)])
    _line(panels[0], _stretched(time, close), "black", "close")
    for number in (0, 2):
        said = _stretched(time, probabilities[:, number])
        _line(panels[1], said, CLASS_COLOURS[number], CLASSES[number])
    panels[0].set_ylabel("close")
    panels[0].yaxis.set_major_formatter("{x:,.10g}")
    panels[1].set(ylabel="probability", ylim=(0, 1))
    panels[1].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2)
    for place, classes in enumerate(strips.values()):
        for number in (0, 2):
            chosen = classes == number
            panels[2].vlines(
                time[chosen], place - 0.36, place + 0.36, color=CLASS_COLOURS[number],
                linewidth=0.8, rasterized=True,
            )  # fmt: skip
    panels[2].set_yticks(range(len(strips)), list(strips))
    panels[2].set(ylim=(len(strips) - 0.5, -0.5))
    _dates(panels[2])
    return figure


def members(
    time: pd.Series[Any], shares: dict[str, Floats], agreement: Floats, neutral: float
) -> Figure:
    """Draw the weights of an ensemble's members, and how far they agree.

    Args:
        time: (n,) minutes.
        shares: (n,) of all weights, by member.
        agreement: (n,) share of the speaking members that say the answer's class.
        neutral: share of a member that weighs as much as each other.
    """
    figure = blank(12, 5.2)
    panels: Any = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for place, (name, share) in enumerate(shares.items()):
        colour = SERIES_COLOURS[place % len(SERIES_COLOURS)]
        _line(panels[0], _stretched(time, share), colour, name.replace("_", " "))
    panels[0].axhline(neutral, color="0.5", linewidth=0.8, linestyle="dashed")
    panels[0].set(ylabel="share of all weights", ylim=(0, 1))
    panels[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=6)
    _line(panels[1], _stretched(time, agreement), "black", "agreement")
    panels[1].set(ylabel="agreement", ylim=(0, 1.05))
    _dates(panels[1])
    return figure


def _dates(axes: Axes) -> None:
    """Write the dates below a panel."""
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.set_xlabel("UTC")
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _stretched(time: pd.Series[Any], values: Floats) -> pd.DataFrame:
    """Return mean, lowest and highest value of each time interval; NaN without rows."""
    since = (time - time.iloc[0]) / pd.Timedelta(minutes=1)
    step = float(since.diff().median()) if len(since) > 1 else 1.0
    length = max(float(since.iloc[-1]) / POINTS, step)
    kept = pd.Series(values).groupby((since // length).to_numpy()).agg(["mean", "min", "max"])
    kept = kept.reindex(np.arange(kept.index[-1] + 1))
    kept.index = time.iloc[0] + pd.to_timedelta(kept.index * length, unit="min")
    return kept


def _line(axes: Axes, stretched: pd.DataFrame, colour: str, name: str) -> None:
    axes.plot(stretched.index, stretched["mean"], color=colour, linewidth=1.1, label=name)
    axes.fill_between(
        stretched.index, stretched["min"], stretched["max"], color=colour, alpha=0.2, linewidth=0
    )
