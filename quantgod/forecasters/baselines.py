"""Forecast with the simple baselines that a model must beat, fitted on the training rows only.

A model that always forecasts NEUTRAL is right three times in four, so a score alone means nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from quantgod.contracts import (
    CLASSES,
    FEATURES,
    MS_PER_MINUTE,
    Floats,
    Forecast,
    Integers,
    forecast_of,
)
from quantgod.dataset.labels import NO_TARGET, classes_of
from quantgod.dataset.samples import Samples
from quantgod.settings import LabelSettings

LEARNED: Final = ("logistic_regression", "gradient_boosting")
"""Names of the baselines that learn probabilities from features."""

_BOOSTING: Final = {
    "max_iter": 100,
    "learning_rate": 0.05,
    "max_leaf_nodes": 4,
    "min_samples_leaf": 50,
    "early_stopping": False,  # its own would hold out rows at random, and neighbours share a label
    "random_state": 5,
}
"""Small trees. Fifty rows that share an hour look like fifty independent rows, so scikit-learn's
default of 31 leaves overfits: on two weeks of simulated minutes its log-loss is worse than that of
the class shares, and a model that only beats such a baseline has shown nothing.
"""


def baselines(
    table: pd.DataFrame, train: Samples, other: Samples, settings: LabelSettings
) -> dict[str, Forecast]:
    """Return what each baseline forecasts, by name, at the primary horizon alone.

    Args:
        table: the labelled table that the samples were taken from.
        train: samples to fit on.
        other: samples to forecast.
        settings: those that made the labels.
    """
    features = table.loc[:, list(FEATURES)].to_numpy(np.float64)
    seen, asked = features[train.row], features[other.row]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    boosted = HistGradientBoostingClassifier(**_BOOSTING)
    said = {
        "majority": majority(train.target, len(other)),
        "persistence": persistence(table, train, other, settings),
        "logistic_regression": fitted(linear, seen, train.target, asked),
        "gradient_boosting": fitted(boosted, seen, train.target, asked),
    }
    return {name: forecast_of(probabilities[:, None]) for name, probabilities in said.items()}


def majority(target: Integers, rows: int) -> Floats:
    """Return the training side's class shares for every row."""
    shares = np.bincount(target, minlength=len(CLASSES)) / len(target)
    return np.tile(shares, (rows, 1))


def persistence(
    table: pd.DataFrame, train: Samples, other: Samples, settings: LabelSettings
) -> Floats:
    """Forecast for the next hour the class of the last hour.

    That class gets the share of training rows on which this was right (but always the largest
    share); the two others get half of the rest each. Where the last hour is not in the stretch,
    NEUTRAL is used.
    """
    held = float((last_class(table, train, settings) == train.target).mean())
    trust = min(max(held, 0.34), 0.98)
    certain = np.eye(len(CLASSES))[last_class(table, other, settings)]
    return certain * trust + (1 - certain) * (1 - trust) / (len(CLASSES) - 1)


def last_class(table: pd.DataFrame, samples: Samples, settings: LabelSettings) -> Integers:
    """Return the class of ln(close[t] / close[t - horizon]), the hour before each sample."""
    index: Any = pd.DatetimeIndex(table.index).as_unit("ms")
    times, close, run = index.asi8, table["close"].to_numpy(), table["run"].to_numpy()
    wanted = samples.time_ms - settings.horizon_minutes * MS_PER_MINUTE
    before = np.searchsorted(times, wanted)
    there = (times[before] == wanted) & (run[before] == samples.run)
    back = np.where(there, np.log(close[samples.row] / close[before]), np.nan)
    known = classes_of(back, settings).astype(np.int64)
    known[known == NO_TARGET] = CLASSES.index("NEUTRAL")
    return known


def fitted(classifier: Any, seen: Floats, target: Integers, asked: Floats) -> Floats:
    """Fit a scikit-learn classifier and return its probabilities (n, 3); an unseen class gets 0.

    If the training rows have a single class, it gets probability 1 without a fit.
    """
    classes = np.unique(target)
    if len(classes) == 1:
        return majority(target, len(asked))
    probabilities = np.zeros((len(asked), len(CLASSES)))
    probabilities[:, classes] = classifier.fit(seen, target).predict_proba(asked)
    return probabilities
