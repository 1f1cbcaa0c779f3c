"""Score confidence on the test part: does it rank decisions, and does it mean what it says?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantgod.contracts import Booleans, Floats
from quantgod.evaluation.intervals import LOSS, Interval, interval, replicates
from quantgod.evaluation.selective import Ranking, curves


def confidence_scores(
    models: Mapping[str, Floats], right: Booleans, effective: float
) -> dict[str, dict[str, Interval]]:
    """Return AURC and Brier score, with intervals, by name of the confidence.

    Args:
        models: how likely the decided class of each row is right, (n,), by name.
        right: (n,) whether it came.
        effective: number of independent rows.
    """
    everything = np.ones(len(right), bool)
    ranked = {name: Ranking(said, right, everything) for name, said in models.items()}
    found = {}
    for name, curve in curves(ranked, effective).items():
        squares = np.square(models[name] - right)[:, None]
        brier = interval(replicates(squares, effective).at(0), effective, LOSS).within(0.0, 1.0)
        found[name] = {"aurc": _risk(curve.area), "brier": brier}
    return found


def _risk(area: Interval | None) -> Interval:
    """Return the area under the risk-coverage curve: one minus that of the accuracy."""
    if area is None:
        raise ValueError("rows to score expected, got none")
    return area._replace(value=1 - area.value, low=1 - area.high, high=1 - area.low)
