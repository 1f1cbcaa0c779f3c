"""Fit the weights of a logarithmic pool to purged out-of-fold rows."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import minimize

from quantgod.contracts import Floats, Integers
from quantgod.served.combiners.strategies import FLOOR

_RIDGE: Final = 1e-6
"""On the distance from equal weights: it chooses among members that say the same."""


def fit_stacking(probabilities: Floats, target: Integers, sample_weight: Floats) -> Floats:
    """Return the weights (members,), of 0 or more and of sum 1, of the least log-loss.

    The loss of a logarithmic pool is convex in its weights, so the minimum is the only one.

    Args:
        probabilities: (members, rows, 3), all members present.
        target: (rows,) class.
        sample_weight: (rows,) uniqueness.

    Raises:
        ValueError: without rows, or if the fit fails.
    """
    if not len(target):
        raise ValueError("no row on which all members speak: nothing to fit weights to")
    members = len(probabilities)
    logs = np.log(np.maximum(probabilities, FLOOR))
    came = np.take_along_axis(logs, target[None, :, None], axis=-1)[..., 0]
    even, share = np.full(members, 1 / members), sample_weight / sample_weight.sum()

    def loss(weights: Floats) -> tuple[float, Floats]:
        scores = np.tensordot(weights, logs, 1)
        top = scores.max(axis=1, keepdims=True)
        powers = np.exp(scores - top)
        whole = powers.sum(axis=1, keepdims=True)
        surprise = top[:, 0] + np.log(whole[:, 0]) - weights @ came
        slope = ((powers / whole) * logs).sum(axis=-1) - came
        away = weights - even
        return float(share @ surprise + _RIDGE * away @ away), slope @ share + 2 * _RIDGE * away

    found = minimize(
        loss, even, jac=True, method="SLSQP", bounds=[(0, 1)] * members, tol=1e-12,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(members)},
        options={"maxiter": 1000},
    )  # fmt: skip
    if not found.success:
        raise ValueError(f"weights of {members} members could not be fitted: {found.message}")
    weights: Floats = np.clip(found.x, 0, 1)
    return np.asarray(weights / weights.sum())
