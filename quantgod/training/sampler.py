"""Choose and shuffle the samples of an epoch, from the seed and the epoch's number only.

No generator carries state between epochs, so the batch number is enough to resume.
"""

from __future__ import annotations

from math import gcd
from typing import Final

import numpy as np

from quantgod.contracts import Integers

GOLDEN: Final = 0.618
"""Steps of about this part of a circle leave even gaps, however many are taken."""


def phase(every: int, epoch: int) -> int:
    """Return the first sample of an epoch that sees every so manieth.

    Phases that follow each other lie far apart, since neighbouring samples tell the same; after
    `every` epochs each has come once.
    """
    step = next(step for step in range(round(GOLDEN * every), every + 1) if gcd(step, every) == 1)
    return epoch * step % every


def shuffled(count: int, every: int, seed: int, epoch: int) -> Integers:
    """Return the positions that an epoch sees of 0..count-1, in its order.

    Neighbouring windows share nearly all rows, so an epoch may leave most of them to later ones.

    Args:
        count: samples, in order of time.
        every: an epoch sees every so manieth, from its `phase` on.
        seed: of the training.
        epoch: counted from 0.
    """
    seen = np.arange(phase(every, epoch), count, every)
    return seen[np.random.default_rng([seed, epoch]).permutation(len(seen))]


def batch_count(count: int, batch_size: int) -> int:
    """Return the number of batches per epoch; the last one may be smaller."""
    return -(-count // batch_size)
