"""What the audit reports is of rows that the booster was not fitted on, and says which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantgod.auditor.audit import AuditorFit, fit_auditor
from quantgod.contracts import META_FEATURES
from quantgod.evaluation.metrics import classification_report
from quantgod.evaluation.out_of_fold import OutOfFold, score_out_of_fold
from tests.auditor.markets import oof_frame, settings

BASE_WEIGHTS = (3.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def fitted() -> AuditorFit:
    frame = oof_frame()
    probabilities = np.random.default_rng(4).dirichlet([1, 2, 1], len(frame))
    frame[list(META_FEATURES[:3])] = probabilities
    return fit_auditor(frame, settings().audit)


@pytest.fixture(scope="module")
def scored(fitted: AuditorFit) -> OutOfFold:
    return score_out_of_fold(fitted, BASE_WEIGHTS)


def test_the_rows_shown_are_those_that_no_tree_was_fitted_on(
    fitted: AuditorFit, scored: OutOfFold
) -> None:
    rows = fitted.rows[fitted.rows["part"] != "fit"]
    assert 0 < len(rows) < len(fitted.rows)
    assert np.array_equal(scored.meta, rows[list(META_FEATURES)])
    assert np.array_equal(scored.target, rows["target"])
    assert np.array_equal(scored.audited, fitted.auditor.predict(scored.meta))
    assert scored.effective_rows == pytest.approx(rows["weight"].sum())
    tilted = scored.base * BASE_WEIGHTS
    assert np.allclose(tilted / tilted.sum(axis=1, keepdims=True), scored.meta[:, :3])


def test_each_score_is_of_its_own_rows(fitted: AuditorFit, scored: OutOfFold) -> None:
    rows = fitted.rows
    base = rows[list(META_FEATURES[:3])].to_numpy() / BASE_WEIGHTS
    base /= base.sum(axis=1, keepdims=True)
    weights = fitted.auditor.calibrator.decision_weights
    kept = fitted.held_out
    assert kept is not None
    assert scored.scores == {
        "base": classification_report(rows["target"].to_numpy(), base, BASE_WEIGHTS),
        "unfitted_base": classification_report(scored.target, scored.base, BASE_WEIGHTS),
        "unfitted_auditor": classification_report(scored.target, scored.audited, weights),
        "uncalibrated": classification_report(kept.target, kept.before, weights),
        "calibrated": classification_report(kept.target, kept.after, weights),
    }


def test_without_rows_to_judge_calibration_by_nothing_is_said_of_it(fitted: AuditorFit) -> None:
    without = replace(fitted, held_out=None)
    assert set(score_out_of_fold(without, BASE_WEIGHTS).scores) == {
        "base", "unfitted_base", "unfitted_auditor",
    }  # fmt: skip
