"""The levels that a forecast says, what it pays for them, and what follows from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
MEDIAN = LEVELS.index(0.5)
COVERAGES = {0.5: (2, 4), 0.8: (1, 5), 0.95: (0, 6)}
"""Positions of the two quantiles between which a share of outcomes is to lie."""

_TAILS = (1.9599639845400545, 1.2815515655446004, 0.6744897501960817)
NORMAL = np.array([*(-z for z in _TAILS), 0.0, *reversed(_TAILS)])
"""Quantiles of the standard normal distribution at `LEVELS`."""


def pinball(outcome: Floats, quantiles: Floats) -> Floats:
    """Return the pinball loss, averaged over `LEVELS`; twice of it approximates the CRPS.

    Koenker and Bassett (1978); Gneiting and Raftery (2007), section 4.1.

    Args:
        outcome: (...).
        quantiles: (..., levels).
    """
    over = np.asarray(outcome)[..., None] - quantiles
    paid = np.maximum(np.array(LEVELS) * over, (np.array(LEVELS) - 1) * over)
    return np.asarray(paid.mean(axis=-1))


def up_probability(quantiles: Floats) -> Floats:
    """Return how likely an outcome above zero is, (...), of quantiles (..., levels) that rise.

    Between two quantiles the distribution is taken as even; beyond the outer ones half of what is
    left is on the other side of zero.
    """
    levels = np.array(LEVELS)
    flat = quantiles.reshape(-1, len(levels))
    below = np.empty(len(flat))
    for place, row in enumerate(flat):
        below[place] = np.interp(0.0, row, levels, left=levels[0] / 2, right=1 - levels[0] / 2)
    return 1 - below.reshape(quantiles.shape[:-1])


def prices(close: Floats, sigma: Floats, steps: int, quantiles: Floats) -> Floats:
    """Return the prices at scaled quantiles (n, levels); a mean must not be mapped so.

    Args:
        close: (n,) at issue.
        sigma: (n,) deviation of one step's log return.
        steps: how many ahead.
        quantiles: of the return over sigma √steps.
    """
    return np.asarray(close[:, None] * np.exp(quantiles * (sigma * np.sqrt(steps))[:, None]))
