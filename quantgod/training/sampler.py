"""The order in which an epoch goes through its samples, from a seed and the epoch alone.

Nothing is drawn from a running generator, so the place in the order is one number: the batch.
"""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Integers


def shuffled(count: int, seed: int, epoch: int) -> Integers:
    """The positions 0..count-1 in the epoch's order."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def batch_count(count: int, batch_size: int) -> int:
    """Batches an epoch; the last one may be smaller."""
    return -(-count // batch_size)
