"""The test part, read once: what base and auditor say of it, and how both score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.auditor.auditor import Auditor
from quantgod.auditor.calibration import untilt
from quantgod.auditor.meta_features import MetaFeatures, meta_features
from quantgod.contracts import FEATURES, Progress, silent
from quantgod.dataset.splits import split_test, uniqueness
from quantgod.dataset.windows import samples
from quantgod.evaluation.bootstrap import Comparison, block_rows, compare
from quantgod.settings import Settings
from quantgod.training.weights import Network

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Holdout:
    """The test part's rows in order of time, and what was said of them.

    Attributes:
        target: (n,) class numbers.
        meta: (n, 14) meta-features.
        base: (n, 3) the network's probabilities with its class weights undone.
        audited: (n, 3) the auditor's calibrated probabilities.
        effective_rows: independent labels among them: the sum of their uniqueness.
    """

    target: Integers
    meta: Floats
    base: Floats
    audited: Floats
    effective_rows: float


def read_holdout(
    table: pd.DataFrame,
    settings: Settings,
    network: Network,
    auditor: Auditor,
    progress: Progress = silent,
) -> Holdout:
    """Ask base and auditor of every `audit.stride`-th minute of the test part."""
    taken = samples(table, network.window, settings.audit.stride)
    test = taken.take(split_test(taken, settings.split).other)
    module = MetaFeatures(network.model, network.scaler.mean, network.scaler.std)
    matrix = table.loc[:, list(FEATURES)].to_numpy(np.float64)
    meta = meta_features(
        module, matrix, test.row, network.window, settings.train.batch_size,
        device=settings.train.device, progress=progress,
    )  # fmt: skip
    base = untilt(meta[:, :3], network.class_weights)
    return Holdout(test.target, meta, base, auditor.predict(meta), float(uniqueness(test).sum()))


def score_holdout(
    holdout: Holdout, settings: Settings, class_weights: tuple[float, ...], progress: Progress
) -> Comparison:
    """Score base and auditor on the same rows, with paired moving-block bootstrap intervals.

    Both decide by probability times the weight that their losses gave a class: probabilities are
    honest, and decisions still say that a missed move costs more than a false one.
    """
    rows = len(holdout.target)
    return compare(
        holdout.target,
        {"base": holdout.base, "auditor": holdout.audited},
        {"base": class_weights, "auditor": settings.audit.decision_weights},
        block_rows(settings.label.horizon_minutes, settings.audit.stride, rows),
        settings.audit.bootstrap_rounds,
        settings.audit.xgboost.seed,
        progress,
    )
