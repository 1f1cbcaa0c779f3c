"""Draw in how many markets each network has found each kind of signal."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from quantgod.evaluation.plots.style import PALE_TO_BLUE, blank
from quantgod.gates.zoo.power import MADE_FOR, ZooPower

DARK: Final = 0.5
"""The share from which on numbers are white."""


def findings(power: ZooPower) -> Figure:
    """Draw a cell for each network and kind, with its count; made-for cells have a frame."""
    columns = [*power.kinds, "null"]
    counts = [
        [*(power.planted(network, kind) for kind in power.kinds), power.null(network)]
        for network in power.networks
    ]
    shares = np.array([[one.found / max(one.judged, 1) for one in line] for line in counts])
    figure = blank(2.5 + 0.9 * len(columns), 1.2 + 0.35 * len(counts))
    axes = figure.subplots()
    axes.pcolormesh(shares, cmap=PALE_TO_BLUE, vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for row, (network, line) in enumerate(zip(power.networks, counts, strict=True)):
        for column, count in enumerate(line):
            is_own = (columns[column], network) in MADE_FOR.items()
            axes.text(
                column + 0.5, row + 0.5, f"{count.found}/{count.judged}" if count.judged else "-",
                ha="center", va="center", weight="bold" if is_own else "normal",
                color="white" if shares[row, column] >= DARK else "black",
            )  # fmt: skip
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(counts)) + 0.5, power.networks)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.set_title("markets in which a network found the signal; bold: it was made for it")
    return figure
