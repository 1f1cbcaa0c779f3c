"""How far an interval reaches, told row by row: every wave and block weighs the rows anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import kurtosis, t

from quantgod.evaluation.intervals import left_out, weights


def reach_of(score: Callable[[np.ndarray], float], rows: int, effective: float) -> float:
    """Of a score of weighed rows whose errors are symmetric.

    Half waves move it half as far as it errs. Its variance is known from as many looks as there
    are waves, and less well where a few blocks make what it is.
    """
    alike = score(np.ones(rows))
    moved = 2 * (np.array([score(weight) for _, _, weight in weights(rows, effective)]) - alike)
    waves = len(moved) // 2
    blocks = np.array([score(weight) for weight in left_out(rows, effective)])
    freedom = 2 / (2 / waves + max(kurtosis(blocks), 0.0) / len(blocks))
    return float(t.ppf(0.975, freedom) * np.sqrt(np.square(moved).sum() / waves))
