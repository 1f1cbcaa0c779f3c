"""Compute the learning rate of each step from its number only, so there is no state to save."""

from __future__ import annotations

import math

from quantgod.settings import TrainSettings


def learning_rate(settings: TrainSettings, epoch: int, step: int) -> float:
    """Return the rate of a step by the schedule that the settings name.

    Args:
        settings: schedule, its peak and its length are read.
        epoch: of the step, counted from 0.
        step: counted from 0, through all epochs.
    """
    if settings.schedule == "warmup":
        return warmup(settings.learning_rate, step, settings.warmup_steps)
    return cosine(settings.learning_rate, epoch, settings.epochs)


def cosine(rate: float, epoch: int, epochs: int) -> float:
    """Return the rate of an epoch: half a cosine from `rate` at epoch 0 to zero at `epochs`.

    Loshchilov and Hutter, SGDR (2017), equation 5, without restarts.

    >>> [round(cosine(1.0, epoch, 4), 3) for epoch in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    return rate * (1 + math.cos(math.pi * epoch / epochs)) / 2


def warmup(rate: float, step: int, steps: int) -> float:
    """Return the rate of a step: it rises evenly to `rate` in `steps`, and falls as 1/√step.

    The transformer's (arXiv 1706.03762, equation 3), with its peak at `rate`.

    >>> [round(warmup(1.0, step, 4), 3) for step in (0, 1, 3, 15)]
    [0.25, 0.5, 1.0, 0.5]
    """
    return rate * min((step + 1) / steps, math.sqrt(steps / (step + 1)))
