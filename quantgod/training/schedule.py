"""Compute the learning rate of each epoch from its number only, so there is no state to save."""

from __future__ import annotations

import math


def cosine(rate: float, epoch: int, epochs: int) -> float:
    """Return the rate of an epoch: half a cosine from `rate` at epoch 0 to zero at `epochs`.

    Loshchilov and Hutter, SGDR (2017), equation 5, without restarts.

    >>> [round(cosine(1.0, epoch, 4), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    return rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
