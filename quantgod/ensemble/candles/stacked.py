"""Fit the coefficients of the stacked mean to matured, purged out-of-fold returns."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNetCV
from sklearn.model_selection import TimeSeriesSplit

from quantgod.contracts import Floats, Integers

FOLDS = 4
LEAST_DATES = 60
"""Dates that do not overlap, from which on something is fitted."""


def fit_stack(mean: Floats, outcomes: Floats, dates: Integers, steps: int) -> Floats:
    """Return how much of each member's mean to believe, (members,), each 0 or more.

    An elastic net (Zou and Hastie 2005) of returns without an intercept, whose penalty is chosen
    by walking forward, with a gap of the horizon between its parts. Zeros where too little has
    matured, or where nothing says more than zero does.

    Args:
        mean: (n, members) as they were said, out of fold.
        outcomes: (n,) scaled returns that had matured.
        dates: (n,) of the forecasts, rising.
        steps: of the horizon.
    """
    members = mean.shape[1]
    if len(np.unique(dates)) < LEAST_DATES * steps or not (size := mean.std()) > 0:
        return np.zeros(members)
    rows = max(1, len(dates) // len(np.unique(dates)))
    parts = TimeSeriesSplit(FOLDS, gap=steps * rows)
    model = ElasticNetCV(l1_ratio=0.5, fit_intercept=False, positive=True, cv=parts, alphas=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = model.fit(mean / size, outcomes)
    return np.asarray(found.coef_ / size, np.float64)
