"""Which classes a row of probabilities leaves open, and what to act on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


def conformal_sets(probabilities: Floats, threshold: float) -> Booleans:
    """Return which classes are in the set of each row, (n, classes)."""
    return np.asarray(probabilities >= threshold)


def actions(decided: Integers, holds: Booleans, neutral: int) -> Integers:
    """Return the decided class (n,) where the set holds it and no other, else `neutral`."""
    alone = holds[np.arange(len(decided)), decided] & (holds.sum(axis=1) == 1)
    return np.asarray(np.where(alone, decided, neutral))


def abstentions(
    decided: Integers, holds: Booleans, action: Integers, *, has_threshold: bool
) -> npt.NDArray[np.object_]:
    """Return why the decided class is not acted on, (n,), empty where it is.

    `several_classes` or `empty_set`: of the set; `other_class`: the set holds one class alone, but
    not the one that the weights decided on; `no_consensus`: it holds that one alone, but the
    members of an ensemble would not trade on it; `no_threshold`: too few rows were kept back to
    promise the level, so that no class can be ruled out.
    """
    sizes, alone = holds.sum(axis=1), holds[np.arange(len(decided)), decided]
    why = np.select(
        [sizes == 0, sizes > 1, alone],
        ["empty_set", "several_classes", "no_consensus"],
        "other_class",
    )
    if not has_threshold:
        why = np.full(len(decided), "no_threshold")
    return np.where(decided != action, why, "").astype(object)
