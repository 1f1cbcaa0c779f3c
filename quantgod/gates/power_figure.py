"""Draw which model passed which gate: one column per market, one row per gate."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from quantgod.evaluation.plots.style import blank
from quantgod.gates.power import Power, Rehearsal

FAILED, UNJUDGED, NOTHING, PASSED = range(4)
COLOURS: Final = ListedColormap(["#d55e00", "#e69f00", "#ececec", "#0072b2"])


def verdicts(power: Power) -> Figure:
    """Draw passed in blue, failed in red, too little data in orange, not checked in grey."""
    rehearsals = power.rehearsals
    names = list(dict.fromkeys(gate.name for rehearsal in rehearsals for gate in rehearsal.gates))
    figure = blank(2.5 + 0.32 * len(rehearsals), 1.2 + 0.26 * len(names))
    axes = figure.subplots()
    cells = np.array([_column(rehearsal, names) for rehearsal in rehearsals]).T
    axes.pcolormesh(cells, cmap=COLOURS, vmin=FAILED, vmax=PASSED, edgecolors="white", linewidth=1)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.set_xticks(
        np.arange(len(rehearsals)) + 0.5,
        [
            f"{'✓ ' if rehearsal.passed else ''}{rehearsal.kind} {rehearsal.seed}"
            for rehearsal in rehearsals
        ],
        rotation=90,
    )
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.set_title(f"null: {power.passes('null')} passed · planted: {power.passes('planted')}")
    return figure


def _column(rehearsal: Rehearsal, names: list[str]) -> list[int]:
    known = {gate.name: gate.verdict for gate in rehearsal.gates}
    as_number = {"pass": PASSED, "FAIL": FAILED, "not judged": UNJUDGED}
    return [as_number.get(known.get(name, ""), NOTHING) for name in names]
