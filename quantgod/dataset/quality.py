"""Check features before a network learns from them (document 003, "quality checks")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_float_dtype

from quantgod.contracts import Floats, Integers
from quantgod.dataset.samples import Samples
from quantgod.dataset.views import View
from quantgod.dataset.windows import as_rows

LEAK_SIGNAL: Final = 0.95
"""No feature of the past follows the return to come so closely; one that does has seen it."""

FEWEST: Final = 30
"""Samples that a correlation needs to be told from chance."""

_BOOKS: Final = 256
"""Blocks of the book in memory at a time."""


class FeatureQualityError(ValueError):
    """Features that must not be learned from; names each and what is wrong with it."""


def check_quality(features: pd.DataFrame, rows: Integers, train: Samples) -> None:
    """Check the types, order and completeness of features, and that none knows the label.

    Only the training side is looked at.

    Args:
        features: a column each, all rows of the table.
        rows: those that the training windows see.
        train: the training side of a split.

    Raises:
        FeatureQualityError: naming the features, and what is wrong with each.
    """
    names = list(map(str, features.columns))
    if wrong := [
        f"{name} ({of})" for name, of in features.dtypes.items() if not is_float_dtype(of)
    ]:
        raise FeatureQualityError(f"floating-point features expected, got {', '.join(wrong)}")
    if (np.diff(train.time_ms) <= 0).any():
        raise FeatureQualityError("training samples must be in order of time, each minute once")
    values = features.to_numpy(np.float64)
    found = _incomplete(names, values[rows]) or _knowing(names, values[train.row], train)
    if found:
        raise FeatureQualityError(f"features that must not be learned from: {'; '.join(found)}")


def check_books(book: View, train: Samples) -> None:
    """Check that the books of the training samples are whole and scaled, some at a time.

    Raises:
        FeatureQualityError: naming a sample's minute.
    """
    bad = [book.not_finite(rows) for rows in torch.split(as_rows(train), _BOOKS)]
    if len(found := np.concatenate(bad)):
        first = train.minute(int(np.searchsorted(train.row, found[0])))
        raise FeatureQualityError(
            f"the book of {len(found)} of {len(train)} training samples is not finite: no block, a "
            f"level missing or no volatility, first at {first}; leave these minutes out"
        )


def _incomplete(names: Sequence[str], values: Floats) -> list[str]:
    missing = (~np.isfinite(values)).mean(axis=0)
    return [
        f"{name} is not finite in {share:.2%} of the training rows"
        for name, share in zip(names, missing, strict=True)
        if share
    ]


def _knowing(names: Sequence[str], values: Floats, train: Samples) -> list[str]:
    """Return the features whose correlation with the return of some horizon is beyond belief."""
    if len(train) < FEWEST:
        return []
    found = []
    for place, horizon in enumerate(train.horizons):
        signs = _correlations(values, train.returns[:, place])
        found += [
            f"{name} has a correlation of {sign:.3f} with the return of the {horizon} minutes "
            "to come"
            for name, sign in zip(names, signs, strict=True)
            if abs(sign) > LEAK_SIGNAL
        ]
    return found


def _correlations(values: Floats, returns: Floats) -> Floats:
    """Return Pearson's correlation of each column (n, features) with (n,); 0 where one is flat."""
    apart, ahead = values - values.mean(axis=0), returns - returns.mean()
    size = np.sqrt((apart**2).sum(axis=0) * (ahead**2).sum())
    with np.errstate(invalid="ignore"):
        return np.where(size > 0, apart.T @ ahead / np.where(size > 0, size, 1.0), 0.0)
