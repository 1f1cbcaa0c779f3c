"""Forecast with the simple baselines that a model must beat, fitted on the training rows only.

A model that always forecasts NEUTRAL is right three times in four, so a score alone means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from quantgod.contracts import (
    CLASSES,
    FEATURES,
    MS_PER_MINUTE,
    Floats,
    Forecast,
    Horizon,
    Integers,
    Target,
    forecast_of,
)
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.labels import NO_TARGET, classes_of
from quantgod.dataset.samples import Samples
from quantgod.files import value_digest, write_json
from quantgod.forecasters.forecaster import Card
from quantgod.forecasters.trees import leaves_of, softmax, summed_leaves
from quantgod.settings import HorizonSettings, LabelSettings

FILE: Final = "baseline.json"
FORMAT: Final = 1

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


Parameters = Mapping[str, Any]
"""What was fitted, as JSON holds it."""


class BaselineError(ValueError):
    """A folder holds no baseline, or a damaged one."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A fitted baseline: a `Forecaster` of the primary horizon alone.

    Attributes:
        name: of its kind, of `KINDS`.
        target: the primary horizon.
        trained_until: the last label end that it learned from, ISO 8601.
        parameters: what was fitted.
    """

    name: str
    target: Target
    trained_until: str
    parameters: Parameters

    @property
    def card(self) -> Card:
        """Return what it is; its only digest is that of its parameters."""
        digests = {"parameters": value_digest(self.parameters)}
        return Card("book", KINDS[self.name].views, self.target, self.trained_until, digests)

    def forecast(
        self, table: pd.DataFrame, rows: Integers, blocks: BookBlocks | None = None
    ) -> Forecast:
        """Return what it says of rows of a labelled table; it looks at no book."""
        (horizon,) = self.target.horizons
        said = KINDS[self.name].say(self.parameters, table, rows, horizon)
        return forecast_of(said[:, None])

    def save(self, folder: Path) -> None:
        """Write `baseline.json`, atomically."""
        told = {"format": FORMAT, **asdict(self), "target": msgspec.to_builtins(self.target)}
        write_json(folder / FILE, told)


def load_baseline(folder: Path) -> Baseline:
    """Read what `Baseline.save` wrote.

    Raises:
        BaselineError: if it is not there, not JSON, or of another format or kind.
    """
    path = folder / FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        known = value.pop("format"), value["name"]
        value["target"] = msgspec.convert(value["target"], Target)
        read = Baseline(**value)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BaselineError(f"{path}: no baseline: {error!r}") from None
    if known[0] != FORMAT or known[1] not in KINDS:
        raise BaselineError(
            f"{path}: format {FORMAT} of {', '.join(KINDS)} expected, got {known[0]} of {known[1]}"
        )
    return read


def baselines(
    table: pd.DataFrame, train: Samples, other: Samples, settings: LabelSettings
) -> dict[str, Forecast]:
    """Fit each baseline and return what it forecasts, by name, at the primary horizon alone.

    Args:
        table: the labelled table that the samples were taken from.
        train: samples to fit on.
        other: samples to forecast.
        settings: those that made the labels.
    """
    fitted = fit_baselines(table, train, settings)
    return {name: one.forecast(table, other.row) for name, one in fitted.items()}


def fit_baselines(
    table: pd.DataFrame, train: Samples, settings: LabelSettings
) -> dict[str, Baseline]:
    """Return each baseline, by name, fitted on these samples of a labelled table."""
    target = settings.target
    horizon = target.horizons[target.primary]
    until = pd.Timestamp(int(train.label_end_ms.max()), unit="ms", tz="UTC").isoformat()
    own = Target(target.step, (horizon,), 0)
    return {
        name: Baseline(name, own, until, kind.fit(table, train, horizon))
        for name, kind in KINDS.items()
    }


def last_class(table: pd.DataFrame, rows: Integers, horizon: Horizon) -> Integers:
    """Return the class of ln(close[t] / close[t - horizon]), the hour before each row."""
    index: Any = pd.DatetimeIndex(table.index).as_unit("ms")
    times, close, run = index.asi8, table["close"].to_numpy(), table["run"].to_numpy()
    wanted = times[rows] - horizon.steps * MS_PER_MINUTE
    before = np.searchsorted(times, wanted)
    there = (times[before] == wanted) & (run[before] == run[rows])
    back = np.where(there, np.log(close[rows] / close[before]), np.nan)
    cuts = {"buy_above": horizon.buy_above, "sell_below": horizon.sell_below}
    found = classes_of(back, HorizonSettings(horizon_minutes=horizon.steps, **cuts))
    known: Integers = found.astype(np.int64)
    known[known == NO_TARGET] = CLASSES.index("NEUTRAL")
    return known


def _fit_majority(table: pd.DataFrame, train: Samples, horizon: Horizon) -> Parameters:
    """Return the class shares of the training rows."""
    return {"shares": (np.bincount(train.target, minlength=len(CLASSES)) / len(train)).tolist()}


def _majority(fitted: Parameters, table: pd.DataFrame, rows: Integers, horizon: Horizon) -> Floats:
    """Return the same shares for every row."""
    return np.tile(np.asarray(fitted["shares"]), (len(rows), 1))


def _fit_persistence(table: pd.DataFrame, train: Samples, horizon: Horizon) -> Parameters:
    """Return the share of training rows whose class was that of the hour before.

    But always the largest share, and never all.
    """
    held = float((last_class(table, train.row, horizon) == train.target).mean())
    return {"trust": min(max(held, 0.34), 0.98)}


def _persistence(
    fitted: Parameters, table: pd.DataFrame, rows: Integers, horizon: Horizon
) -> Floats:
    """Give that share to the class of the last hour, and the two others half of the rest each.

    Where the last hour is not in the stretch, NEUTRAL is used.
    """
    trust = fitted["trust"]
    certain = np.eye(len(CLASSES))[last_class(table, rows, horizon)]
    said: Floats = certain * trust + (1 - certain) * (1 - trust) / (len(CLASSES) - 1)
    return said


def _fit_logistic(table: pd.DataFrame, train: Samples, horizon: Horizon) -> Parameters:
    seen, classes = _features(table, train.row), np.unique(train.target)
    if len(classes) == 1:
        return {"classes": classes.tolist()}
    scaler = StandardScaler().fit(seen)
    linear = LogisticRegression(max_iter=1000).fit(scaler.transform(seen), train.target)
    parts = {"mean": scaler.mean_, "scale": scaler.scale_}
    parts |= {"coefficients": linear.coef_, "intercept": linear.intercept_, "classes": classes}
    return {name: part.tolist() for name, part in parts.items()}


def _logistic(fitted: Parameters, table: pd.DataFrame, rows: Integers, horizon: Horizon) -> Floats:
    def scores(features: Floats) -> Floats:
        scaled = (features - np.asarray(fitted["mean"])) / np.asarray(fitted["scale"])
        return np.asarray(scaled @ np.asarray(fitted["coefficients"]).T + fitted["intercept"])

    return _by_class(fitted, _features(table, rows), scores)


def _fit_boosting(table: pd.DataFrame, train: Samples, horizon: Horizon) -> Parameters:
    classes = np.unique(train.target)
    if len(classes) == 1:
        return {"classes": classes.tolist()}
    grown = HistGradientBoostingClassifier(**_BOOSTING)
    with threadpool_limits(1):  # beside other work threads wait for each other: 60 s instead of 2
        grown.fit(_features(table, train.row), train.target)
    return {"classes": classes.tolist(), **leaves_of(grown)}


def _boosting(fitted: Parameters, table: pd.DataFrame, rows: Integers, horizon: Horizon) -> Floats:
    return _by_class(fitted, _features(table, rows), lambda seen: summed_leaves(fitted, seen))


def _features(table: pd.DataFrame, rows: Integers) -> Floats:
    return table.loc[:, list(FEATURES)].to_numpy(np.float64)[rows]


def _by_class(fitted: Parameters, features: Floats, scores: Callable[[Floats], Floats]) -> Floats:
    """Return probabilities (n, 3) of scores by class; an unseen class gets 0, a lone one 1."""
    classes = fitted["classes"]
    probabilities = np.zeros((len(features), len(CLASSES)))
    lone = len(classes) == 1
    probabilities[:, classes] = 1.0 if lone else softmax(scores(features))
    return probabilities


@dataclass(frozen=True)
class _Kind:
    """How a baseline is fitted and asked, and what it looks at."""

    fit: Callable[[pd.DataFrame, Samples, Horizon], Parameters]
    say: Callable[[Parameters, pd.DataFrame, Integers, Horizon], Floats]
    views: tuple[str, ...]


KINDS: Final[Mapping[str, _Kind]] = {
    "majority": _Kind(_fit_majority, _majority, ()),
    "persistence": _Kind(_fit_persistence, _persistence, ("closes",)),
    "logistic_regression": _Kind(_fit_logistic, _logistic, ("bar",)),
    "gradient_boosting": _Kind(_fit_boosting, _boosting, ("bar",)),
}
"""All baselines."""
