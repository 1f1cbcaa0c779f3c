"""How often conformal sets held what came, beside what was promised of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantgod.evaluation.bootstrap import ratio_intervals
from quantgod.evaluation.evidence import Coverage

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


def coverage(
    target: Integers,
    holds: Booleans,
    promise: tuple[float, float],
    block: int,
    rounds: int,
    seed: int,
) -> Coverage:
    """How often the sets held the class that came, beside what was promised.

    Args:
        target: (n,) what came.
        holds: (n, 3) the sets of the same rows, in order of time.
        promise: what was promised, and the threshold that was to keep it.
        block: rows a block of the bootstrap.
        rounds: redraws.
        seed: of the redraws.
    """
    held = holds[np.arange(len(target)), target].astype(np.float64)
    sizes = holds.sum(axis=1)
    found = ratio_intervals({"": (held, np.ones(len(held)))}, block, rounds, seed)[""]
    promised, threshold = promise
    return Coverage(
        promised=promised,
        found=found,
        threshold=threshold,
        singletons=float((sizes == 1).mean()),
        empty=float((sizes == 0).mean()),
    )
