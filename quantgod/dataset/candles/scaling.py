"""Fit the scale of features on training rows: median, quartiles, and a bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import RobustScaler

from quantgod.contracts import Floats
from quantgod.served.candles.scaling import RobustScale


def fit_scale(
    features: Floats, names: Sequence[str], columns: Sequence[str], bound: float
) -> RobustScale:
    """Return the scale of some columns of features (n, names).

    Where the quartiles are equal, as those of most flags are, the deviation takes their place; a
    constant gets a width of zero, and is always zero.

    Raises:
        ValueError: without rows, or if a value is not finite.
    """
    chosen = features[:, [list(names).index(column) for column in columns]]
    if not len(chosen) or not np.isfinite(chosen).all():
        raise ValueError("rows of finite features are needed to fit a scale")
    fitted = RobustScaler().fit(chosen)
    apart = np.subtract(*np.quantile(chosen, [0.75, 0.25], axis=0))
    spread = np.where(np.ptp(chosen, axis=0) > 0, chosen.std(axis=0), 0.0)
    width = np.where(apart > 0, fitted.scale_, spread)
    return RobustScale(tuple(columns), fitted.center_, width, bound)
