"""The learning rate of each epoch, a function of its number alone: nothing to save or restore."""

from __future__ import annotations

import math


def cosine(rate: float, epoch: int, epochs: int) -> float:
    """Half a cosine from `rate` at epoch 0 to nothing at `epochs` (one past the last).

    Loshchilov and Hutter, SGDR (2017), equation 5, without restarts.

    >>> [round(cosine(1.0, epoch, 4), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    return rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
