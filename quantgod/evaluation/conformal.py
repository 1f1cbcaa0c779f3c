"""Measure how often conformal sets hold the true class, against the promise."""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Booleans, Integers
from quantgod.evaluation.evidence import Coverage
from quantgod.evaluation.intervals import share_among


def coverage(
    target: Integers, holds: Booleans, promise: tuple[float, float], effective: float
) -> Coverage:
    """Return how often the sets held the true class, with the promise.

    Args:
        target: (n,) true classes.
        holds: (n, 3) the sets of the same rows, in order of time.
        promise: the promised share and the threshold.
        effective: number of independent rows.
    """
    held = holds[np.arange(len(target)), target]
    sizes = holds.sum(axis=1)
    found = share_among(held, np.ones(len(held), bool), effective)
    if found is None:
        raise ValueError("no row whose set could hold anything")
    promised, threshold = promise
    return Coverage(
        promised=promised,
        found=found,
        threshold=threshold,
        singletons=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )
