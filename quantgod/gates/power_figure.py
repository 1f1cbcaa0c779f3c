"""Which model passed which gate: a column a market, a row a gate."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from quantgod.evaluation.plots.style import blank
from quantgod.gates.power import Power, Trial

FAILED, UNJUDGED, NOTHING, PASSED = range(4)
COLOURS: Final = ListedColormap(["#d55e00", "#e69f00", "#ececec", "#0072b2"])


def verdicts(power: Power) -> Figure:
    """Passed (blue), failed (red), too few data (orange), not asked for (grey); a tick: passed."""
    trials = power.trials
    names = list(dict.fromkeys(gate.name for trial in trials for gate in trial.gates))
    figure = blank(2.5 + 0.32 * len(trials), 1.2 + 0.26 * len(names))
    axes = figure.subplots()
    cells = np.array([_column(trial, names) for trial in trials]).T
    axes.pcolormesh(cells, cmap=COLOURS, vmin=FAILED, vmax=PASSED, edgecolors="white", linewidth=1)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.set_xticks(
        np.arange(len(trials)) + 0.5,
        [f"{'✓ ' if trial.passed else ''}{trial.kind} {trial.seed}" for trial in trials],
        rotation=90,
    )
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.set_title(f"null: {power.passes('null')} passed · planted: {power.passes('planted')}")
    return figure


def _column(trial: Trial, names: list[str]) -> list[int]:
    known = {gate.name: gate.verdict for gate in trial.gates}
    as_number = {"pass": PASSED, "FAIL": FAILED, "not judged": UNJUDGED}
    return [as_number.get(known.get(name, ""), NOTHING) for name in names]
