"""How often conformal sets held what came, beside what was promised of them."""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Booleans, Integers
from quantgod.evaluation.evidence import Coverage
from quantgod.evaluation.intervals import share_among


def coverage(
    target: Integers, holds: Booleans, promise: tuple[float, float], effective: float
) -> Coverage:
    """How often the sets held the class that came, beside what was promised.

    Args:
        target: (n,) what came.
        holds: (n, 3) the sets of the same rows, in order of time.
        promise: what was promised, and the threshold that was to keep it.
        effective: how many independent rows they equal.
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
