"""Compute the losses of forecasts, row by row, in units of the scaled return.

In these units a calm coin's row counts as much as a wild one's, so that coins can be pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.outcomes import Distribution
from quantgod.served.candles.quantiles import MEDIAN, pinball


def squared(y: Floats, said: Distribution) -> Floats:
    """Return the squared errors of the mean, (n,)."""
    return np.square(y - said.mean)


def absolute(y: Floats, said: Distribution) -> Floats:
    """Return the absolute errors of the median, (n,), which is what they judge."""
    return np.abs(y - said.quantiles[:, MEDIAN])


def width(y: Floats, said: Distribution) -> Floats:
    """Return the pinball loss of the quantiles as issued, (n,)."""
    return pinball(y, said.quantiles)


LOSSES: Final[Mapping[str, Callable[[Floats, Distribution], Floats]]] = {
    "mse": squared,
    "mae": absolute,
    "pinball": width,
}
"""Losses (n,) of outcomes and what was said, by name."""
