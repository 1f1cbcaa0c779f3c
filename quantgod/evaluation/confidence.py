"""Score confidence on the test part: does it rank decisions, and does it mean what it says?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quantgod.auditor.confidence import ranks, risk
from quantgod.contracts import Booleans, Floats
from quantgod.evaluation.intervals import LOSS, Interval, interval, replicates, reweighted


def confidence_scores(
    models: Mapping[str, Floats], right: Booleans, effective: float
) -> dict[str, dict[str, Interval]]:
    """Return AURC and Brier score, with intervals, by name of the confidence.

    Args:
        models: how likely the decided class of each row is right, (n,), by name.
        right: (n,) whether it came.
        effective: number of independent rows.
    """
    return {
        name: {"aurc": _aurc(said, right, effective), "brier": _brier(said, right, effective)}
        for name, said in models.items()
    }


def _aurc(said: Floats, right: Booleans, effective: float) -> Interval:
    rank = ranks(said)
    shaken = reweighted(lambda weight: np.asarray(risk(rank, right, weight)), len(right), effective)
    return interval(shaken, effective).within(0.0, 1.0)


def _brier(said: Floats, right: Booleans, effective: float) -> Interval:
    squares = np.square(said - right)[:, None]
    return interval(replicates(squares, effective).at(0), effective, LOSS).within(0.0, 1.0)
