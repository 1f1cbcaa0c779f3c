"""Shuffle the samples of an epoch, from the seed and the epoch's number only.

No generator carries state between epochs, so the batch number is enough to resume.
"""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Integers


def shuffled(count: int, seed: int, epoch: int) -> Integers:
    """Return the positions 0..count-1 in the epoch's order."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch_count(count: int, batch_size: int) -> int:
    """Return the number of batches per epoch; the last one may be smaller."""
    return -(-count // batch_size)
