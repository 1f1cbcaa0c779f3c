"""Train the auditor's booster: gradient-boosted trees on meta-features, stopped early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from quantgod.contracts import CLASSES, META_FEATURES, Floats, Integers, Progress, silent
from quantgod.files import atomic_path
from quantgod.settings import XGBoostSettings

METRIC = "mlogloss"
QUIETLY = {"nthread": 1, "verbosity": 0}
"""What every booster is told: one thread, and no words."""


class BoosterError(ValueError):
    """A booster file is damaged, or was trained on other features or classes."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Meta-features with their targets and weights.

    Attributes:
        meta: (n, 14), columns in the order of `META_FEATURES`.
        target: (n,) class numbers.
        weight: (n,) uniqueness; the sum is the effective number of rows.
    """

    meta: Floats
    target: Integers
    weight: Floats

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class Boosting:
    """A trained booster and its losses.

    Attributes:
        booster: cut after its best round, so that predictions use all its trees.
        fit_loss: weighted multi-class log-loss on the fit rows, after each round.
        stopping_loss: the same on the stopping rows.
    """

    booster: xgboost.Booster
    fit_loss: list[float]
    stopping_loss: list[float]


def fit_booster(
    fit: Rows,
    stopping: Rows,
    class_weights: Sequence[float],
    settings: XGBoostSettings,
    progress: Progress = silent,
) -> Boosting:
    """Train on `fit` until the loss on `stopping` no longer falls, and keep the best round.

    The weight of a row is its uniqueness times its class's weight. Weights are not rescaled to a
    mean of 1, so `min_child_weight` and `reg_lambda` count independent rows, not overlapping ones.
    One thread is used, so histograms are summed in a fixed order and the same rows and settings
    give the same bytes.

    Raises:
        ValueError: if either part has no rows.
    """
    if not len(fit) or not len(stopping):
        raise ValueError(
            f"the booster needs rows to fit and to stop on, got {len(fit)} and {len(stopping)}"
        )
    losses: dict[str, dict[str, list[float]]] = {}
    data = [(_matrix(fit, class_weights), "fit"), (_matrix(stopping, class_weights), "stopping")]
    booster = xgboost.train(
        _parameters(settings),
        data[0][0],
        settings.rounds,
        evals=data,
        evals_result=losses,
        verbose_eval=False,
        callbacks=[_stopper(settings), _Reporter(settings.rounds, progress)],
    )
    booster.set_attr(classes=",".join(CLASSES))
    return Boosting(booster, losses["fit"][METRIC], losses["stopping"][METRIC])


def tilted_probabilities(booster: xgboost.Booster, meta: Floats) -> Floats:
    """Return the booster's probabilities of each row of `meta`, (n, 3), tilted by class weights."""
    probs: Floats = booster.predict(_named(meta)).astype(np.float64)
    return probs


def gain(booster: xgboost.Booster) -> Floats:
    """Return the mean loss reduction of the splits on each meta-feature, (14,); 0 if unused."""
    scores = booster.get_score(importance_type="gain")
    return np.array([scores.get(name, 0.0) for name in META_FEATURES], np.float64)


def contributions(booster: xgboost.Booster, meta: Floats) -> Floats:
    """Return what each meta-feature adds to each class's score, (n, 3, 15); last column: the bias.

    These are XGBoost's exact tree SHAP values; their sum over the last axis is the score before the
    softmax.
    """
    parts: Floats = booster.predict(_named(meta), pred_contribs=True).astype(np.float64)
    return parts


def save_booster(booster: xgboost.Booster, path: Path) -> None:
    """Write the booster as UBJSON, atomically."""
    with atomic_path(path) as part:
        part.write_bytes(booster.save_raw("ubj"))


def load_booster(path: Path) -> xgboost.Booster:
    """Read what `save_booster` wrote.

    Raises:
        BoosterError: if it cannot be read, or has other features or classes than expected.
    """
    booster = xgboost.Booster(QUIETLY)
    try:
        booster.load_model(bytearray(path.read_bytes()))
    except xgboost.core.XGBoostError as error:
        raise BoosterError(f"{path}: no booster: {str(error).splitlines()[0]}") from None
    _expect(path, "features", list(META_FEATURES), booster.feature_names)
    _expect(path, "classes", ",".join(CLASSES), booster.attr("classes"))
    return booster


class _Reporter(xgboost.callback.TrainingCallback):
    """Calls `progress` after every round."""

    def __init__(self, rounds: int, progress: Progress) -> None:
        self.rounds = rounds
        self.progress = progress

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        loss = evals_log["stopping"][METRIC][-1]
        self.progress(epoch + 1, self.rounds, f"log-loss {loss:.4f}")
        return False


def _stopper(settings: XGBoostSettings) -> xgboost.callback.EarlyStopping:
    return xgboost.callback.EarlyStopping(
        rounds=settings.early_stopping_rounds,
        data_name="stopping",
        metric_name=METRIC,
        save_best=True,
    )


def _parameters(settings: XGBoostSettings) -> dict[str, Any]:
    return {
        "objective": "multi:softprob",
        "num_class": len(CLASSES),
        "eval_metric": METRIC,
        "tree_method": "hist",
        **QUIETLY,
        **settings.model_dump(exclude={"rounds", "early_stopping_rounds"}),
    }


def _matrix(rows: Rows, class_weights: Sequence[float]) -> xgboost.DMatrix:
    weight = rows.weight * np.asarray(class_weights, np.float64)[rows.target]
    return _named(rows.meta, label=rows.target, weight=weight)


def _named(meta: Floats, **more: Any) -> xgboost.DMatrix:
    return xgboost.DMatrix(
        meta, feature_names=list(META_FEATURES), nthread=QUIETLY["nthread"], **more
    )


def _expect(path: Path, what: str, expected: Any, came: Any) -> None:
    if came != expected:
        raise BoosterError(f"{path}: {what} {expected} expected, got {came}")
