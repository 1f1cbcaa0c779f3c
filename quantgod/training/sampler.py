"""Choose and shuffle the samples of an epoch, from the seed and the epoch's number only.

No generator carries state between epochs, so the batch number is enough to resume.
"""

from __future__ import annotations

import numpy as np

from quantgod.contracts import Integers


def shuffled(count: int, every: int, seed: int, epoch: int) -> Integers:
    """Return the positions that an epoch sees of 0..count-1, in its order.

    Neighbouring windows share nearly all rows, so an epoch may leave most of them to later ones.

    Args:
        count: samples, in order of time.
        every: an epoch sees every so manieth; the first of them moves on by one with each epoch.
        seed: of the training.
        epoch: counted from 0.
    """
    seen = np.arange(epoch % every, count, every)
    return seen[np.random.default_rng([seed, epoch]).permutation(len(seen))]


def batch_count(count: int, batch_size: int) -> int:
    """Return the number of batches per epoch; the last one may be smaller."""
    return -(-count // batch_size)
