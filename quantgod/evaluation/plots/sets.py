"""Draw coverage and sizes of conformal sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import blank

_SIZE_COLOURS = ("#8c8c8c", "#009e73", "#e69f00", "#f0e442")


def conformal(
    promised: float, found: Mapping[str, Interval | None], sizes: Sequence[int]
) -> Figure:
    """Draw coverage by kind of row, with intervals and the promise, and the sizes of sets.

    Args:
        promised: the share of rows whose true class shall be in the set.
        found: coverage by kind of row; None if there is no such row.
        sizes: number of rows whose set has zero, one, two, three classes.
    """
    figure = blank(10.5, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    left.axvline(promised, color="black", linestyle="--", linewidth=1, label="promised")
    for place, interval in enumerate(found.values()):
        if interval is None:
            left.text(promised, place, "absent", ha="center", color="0.4")
            continue
        colour = "#0072b2" if place == 0 else "#56b4e9"
        left.hlines(place, interval.low, interval.high, color=colour, linewidth=2.5)
        left.plot(interval.value, place, "o", color=colour)
        left.annotate(
            f"{interval.value:.1%}", (interval.value, place), xytext=(0, 7),
            textcoords="offset points", ha="center", fontsize="small",
        )  # fmt: skip
    left.set_yticks(range(len(found)), list(found))
    left.set(
        xlabel="share of rows whose set held the class that came", ylim=(len(found) - 0.5, -0.7)
    )
    left.legend(frameon=False, loc="lower left")
    shares = np.asarray(sizes) / max(sum(sizes), 1) * 100
    bars = right.bar(["none", "one", "two", "all three"], shares, color=_SIZE_COLOURS)
    right.bar_label(bars, [f"{share:.1f} %" for share in shares])
    right.set(xlabel="classes in the set (one: may act)", ylabel="share of rows, %")
    right.margins(y=0.15)
    return figure
