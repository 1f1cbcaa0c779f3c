"""Score base and auditor on out-of-fold rows, before the test part is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantgod.auditor.audit import FIT, AuditorFit
from quantgod.auditor.auditor_input import forecast_in
from quantgod.contracts import META_FEATURES, PRIMARY, Floats, Integers
from quantgod.evaluation.metrics import classification_report

Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Forecasts of the last fold's rows, on which the booster was not fitted.

    Its older part stopped the booster and its newer part fitted the calibrator, so the auditor
    looks a little better here than it is.

    Attributes:
        target: (n,) class numbers.
        meta: (n, 14) meta-features.
        base: (n, 3) probabilities of that fold's network, class weights undone.
        audited: (n, 3) the auditor's calibrated probabilities.
        effective_rows: number of independent labels.
        scores: by name: `base` on every out-of-fold row, `unfitted_base` and `unfitted_auditor` on
            these rows, and `uncalibrated` and `calibrated` on the newest of them by a calibrator
            fitted on older ones, if there are enough.
    """

    target: Integers
    meta: Floats
    base: Floats
    audited: Floats
    effective_rows: float
    scores: dict[str, dict[str, float]]


def score_out_of_fold(fitted: AuditorFit, base_weights: Weights) -> OutOfFold:
    """Score base and auditor on out-of-fold rows.

    Args:
        fitted: what `audit` returns.
        base_weights: class weights of the base's loss, also used for its decisions.
    """
    rows = fitted.rows
    meta, target = rows[list(META_FEATURES)].to_numpy(np.float64), rows["target"].to_numpy()
    base = forecast_in(meta, base_weights).probabilities[:, PRIMARY]
    unfitted = (rows["part"] != FIT).to_numpy()
    audited, weights = fitted.auditor.predict(meta[unfitted]), _decision_weights(fitted)
    scores = {
        "base": classification_report(target, base, base_weights),
        "unfitted_base": classification_report(target[unfitted], base[unfitted], base_weights),
        "unfitted_auditor": classification_report(target[unfitted], audited, weights),
    }
    if (kept := fitted.held_out) is not None:
        scores["uncalibrated"] = classification_report(kept.target, kept.before, weights)
        scores["calibrated"] = classification_report(kept.target, kept.after, weights)
    return OutOfFold(
        target=target[unfitted],
        meta=meta[unfitted],
        base=base[unfitted],
        audited=audited,
        effective_rows=float(rows["weight"][unfitted].sum()),
        scores=scores,
    )


def _decision_weights(fitted: AuditorFit) -> Weights:
    return fitted.auditor.calibrator.decision_weights
