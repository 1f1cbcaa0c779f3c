"""The width of a random walk's next step, from the last returns."""

from __future__ import annotations

import numpy as np

from ..rolling import Floats, before, dot

DECAY = 0.94
"""Of the weight of a squared return, a step: RiskMetrics' (1996) for daily returns."""

ROWS = 120
"""Returns that count; those before have less than a thousandth of all weight."""

REACH = ROWS + 1
FLOOR = 1e-6
"""Least deviation: a hundredth of a basis point a step."""

_WEIGHTS = DECAY ** np.arange(ROWS - 1, -1, -1.0)
_WEIGHTS /= _WEIGHTS.sum()


def sigma(close: Floats) -> Floats:
    """Return the deviation of one step's log return, (n,), known at each row's close.

    The exponentially weighted mean of the last `ROWS` squared returns; NaN where there are fewer.
    """
    returns = np.log(close / before(close, 1))
    return np.maximum(np.sqrt(dot(np.square(returns), _WEIGHTS)), FLOOR)
