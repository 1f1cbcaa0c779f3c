"""The test part, read once: what base, auditor and the baselines say of it, and how they score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from quantgod.auditor.audit import Fitted
from quantgod.auditor.calibration import untilt
from quantgod.auditor.meta_features import MetaFeatures, meta_features
from quantgod.auditor.provenance import assert_unseen
from quantgod.contracts import CLASSES, FEATURES, Progress, silent
from quantgod.dataset.splits import split_test, uniqueness
from quantgod.dataset.windows import samples
from quantgod.evaluation.baselines import LEARNED, baselines
from quantgod.evaluation.bootstrap import Comparison, block_rows, compare
from quantgod.settings import Settings
from quantgod.training.weights import Network

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Holdout:
    """The test part's rows in order of time, and what was said of them.

    Attributes:
        time_ms: (n,) the windows' last minutes, epoch milliseconds.
        target: (n,) class numbers.
        meta: (n, 14) meta-features.
        base: (n, 3) the network's probabilities with its class weights undone.
        audited: (n, 3) the auditor's calibrated probabilities.
        baselines: (n, 3) of each baseline by name, fitted on dev.
        effective_rows: independent labels among them: the sum of their uniqueness.
    """

    time_ms: Integers
    target: Integers
    meta: Floats
    base: Floats
    audited: Floats
    baselines: dict[str, Floats]
    effective_rows: float


def read_holdout(
    table: pd.DataFrame,
    settings: Settings,
    network: Network,
    fitted: Fitted,
    progress: Progress = silent,
) -> Holdout:
    """Ask base, auditor and baselines of every `audit.stride`-th minute of the test part.

    Raises:
        ProvenanceError: if the auditor has learned from a label that reaches into the test part.
        ValueError: if there is no test part.
    """
    taken = samples(table, network.window, settings.audit.stride)
    split = split_test(taken, settings.split)
    test = taken.take(split.other)
    assert_unseen(fitted.rows, pd.Timestamp(int(test.time_ms.min()), unit="ms", tz="UTC"))
    module = MetaFeatures(network.model, network.scaler.mean, network.scaler.std)
    matrix = table.loc[:, list(FEATURES)].to_numpy(np.float64)
    meta = meta_features(
        module, matrix, test.row, network.window, settings.train.batch_size,
        device=settings.train.device, progress=progress,
    )  # fmt: skip
    return Holdout(
        time_ms=test.time_ms,
        target=test.target,
        meta=meta,
        base=untilt(meta[:, : len(CLASSES)], network.class_weights),
        audited=fitted.auditor.predict(meta),
        baselines=baselines(table, taken, split, settings.label),
        effective_rows=float(uniqueness(test).sum()),
    )


def score_holdout(
    holdout: Holdout,
    settings: Settings,
    class_weights: tuple[float, ...],
    progress: Progress = silent,
) -> Comparison:
    """Score everyone on the same rows, with paired moving-block bootstrap intervals.

    Who learned probabilities decides by probability times class weight: probabilities are honest,
    and decisions still say that a missed move costs more than a false one. Differences are to base.
    """
    weights = settings.audit.decision_weights
    return compare(
        holdout.target,
        {"base": holdout.base, "auditor": holdout.audited, **holdout.baselines},
        {"base": class_weights, "auditor": weights, **dict.fromkeys(LEARNED, weights)},
        block_rows(settings.label.horizon_minutes, settings.audit.stride, len(holdout.target)),
        settings.evaluate.bootstrap_rounds,
        settings.audit.xgboost.seed,
        progress,
    )
