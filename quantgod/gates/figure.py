"""Draw all gates' verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Final

from matplotlib.figure import Figure

from quantgod.evaluation.plots.style import blank
from quantgod.gates.report import Gate

COLOURS: Final = {"pass": "#0072b2", "FAIL": "#d55e00", "not judged": "#e69f00", "-": "#8c8c8c"}
TITLE_CHARACTERS: Final = 130
_NAME, _VERDICT, _FIGURE, _BOUND = 0.0, 0.29, 0.36, 0.81


def gate_figure(gates: Sequence[Gate], title: str = "") -> Figure:
    """Draw one line per gate: its name, its verdict in colour, its figure and its bound."""
    figure = blank(13, 0.9 + 0.26 * len(gates))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(gates), -1), title=fill(title, TITLE_CHARACTERS))
    for x, header in ((_NAME, "gate"), (_FIGURE, "figure"), (_BOUND, "bound")):
        axes.text(x, -0.5, header, weight="bold", va="center")
    for place, gate in enumerate(gates):
        y, colour = place + 0.5, COLOURS[gate.verdict]
        axes.axhspan(place + 0.08, place + 0.92, color=colour, alpha=0.12, linewidth=0)
        axes.text(_NAME, y, gate.name, va="center")
        axes.text(_VERDICT, y, gate.verdict, va="center", color=colour, weight="bold")
        axes.text(_FIGURE, y, gate.figure, va="center", family="monospace", size="small")
        axes.text(_BOUND, y, gate.bound, va="center", family="monospace", size="small")
    return figure
