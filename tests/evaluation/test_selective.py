"""Selective accuracy: the order that confidence gives, and how much of it is luck."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.bootstrap import redraws
from quantgod.evaluation.selective import COVERAGES, Curve, Ranked, curves
from quantgod.evaluation.slices import Redrawing
from tests.evaluation.forecasts import calibrated_forecasts

REDRAWING = Redrawing(block=5, rounds=50, seed=1)


def ranked(
    confidence: np.ndarray, correct: np.ndarray, counted: np.ndarray | None = None
) -> Ranked:
    kept = np.ones(len(confidence), bool) if counted is None else counted
    return Ranked(confidence, correct.astype(bool), kept)


def only(confidence: np.ndarray, correct: np.ndarray, counted: np.ndarray | None = None) -> Curve:
    return curves({"auditor": ranked(confidence, correct, counted)}, REDRAWING)["auditor"]


def values(curve: Curve) -> np.ndarray:
    return np.array([point.value for point in curve.values])


def test_a_confidence_that_knows_keeps_everything_right_for_as_long_as_there_is() -> None:
    correct = np.arange(200) % 4 != 0  # three in four
    curve = only(correct + 0.01 * np.arange(200) / 200, correct)
    expected = np.minimum(1, 0.75 / np.array(COVERAGES))
    assert values(curve) == pytest.approx(expected)
    assert curve.gain is not None and curve.gain.low > 0


def test_a_confidence_that_is_wrong_side_up_keeps_the_errors() -> None:
    correct = np.arange(200) % 4 != 0
    curve = only(-correct.astype(float), correct)
    assert values(curve)[:25] == pytest.approx(np.zeros(25))
    assert curve.gain is not None and curve.gain.high < 0


def test_equal_confidence_gives_no_order() -> None:
    correct = np.arange(100) < 30
    curve = only(np.full(100, 0.7), correct)
    assert values(curve) == pytest.approx(np.full(100, 0.3))
    assert curve.gain is not None and curve.gain == pytest.approx((0, 0, 0), abs=1e-12)


def test_the_curve_ends_at_the_accuracy_of_all_and_its_area_is_its_mean() -> None:
    target, given = calibrated_forecasts(300)
    correct = given.argmax(axis=1) == target
    curve = only(given.max(axis=1), correct)
    assert values(curve)[-1] == pytest.approx(correct.mean())
    assert curve.area is not None and curve.area.value == pytest.approx(values(curve).mean())
    assert curve.gain is not None
    assert curve.gain.value == pytest.approx(curve.area.value - correct.mean())
    assert curve.gain.low > 0  # calibrated confidence knows


def test_bands_are_those_of_rows_redrawn_and_sorted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    confidence, correct, counted = rng.random(100), rng.random(100) < 0.6, rng.random(100) < 0.8
    curve = only(confidence, correct, counted)
    drawn = []
    for index in redraws(100, *REDRAWING):
        chosen = index[counted[index]]
        order = chosen[np.argsort(-confidence[chosen], kind="stable")]
        hits = np.concatenate([[0], np.cumsum(correct[order])])
        wanted = np.array(COVERAGES) * len(order)
        drawn.append(np.interp(wanted, np.arange(len(hits)), hits) / wanted)
    # Repeats of a row tie with themselves, which a sort takes one after the other: the same.
    expected = np.quantile(drawn, [0.025, 0.975], axis=0)
    found = np.array([point[1:] for point in curve.values]).T
    assert found == pytest.approx(expected)
    assert curve.rows == counted.sum()


def test_differences_are_paired_and_of_the_first_minus_the_other() -> None:
    correct = np.arange(200) % 3 != 0
    knows, guesses = ranked(correct + 0.0, correct), ranked(np.zeros(200), correct)
    found = curves({"auditor": knows, "base": guesses, "same": knows}, REDRAWING)
    assert found["auditor"].difference is None
    assert found["same"].difference == (0.0, 0.0, 0.0)
    assert found["base"].difference is not None and found["base"].difference.low > 0


def test_where_no_row_counts_there_is_no_curve() -> None:
    curve = only(np.ones(50), np.ones(50), np.zeros(50, bool))
    assert (curve.rows, curve.values, curve.area, curve.gain) == (0, (), None, None)
