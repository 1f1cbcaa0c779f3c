"""Every score against a loop that follows its definition, or against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st

from quantgod.evaluation.metrics import (
    brier_score,
    calibration_error,
    classification_report,
    confusion_matrix,
    decide,
    log_loss,
    macro_f1,
    matthews_correlation,
    precision_recall_f1,
)
from tests.evaluation.class_forecasts import calibrated_forecasts, random_forecasts

ANSWERS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


def test_a_small_case_worked_by_hand() -> None:
    target = np.array([0, 0, 1, 1, 1, 2])
    probabilities = np.array(
        [
            [0.6, 0.3, 0.1],
            [0.2, 0.5, 0.3],
            [0.1, 0.8, 0.1],
            [0.3, 0.6, 0.1],
            [0.5, 0.4, 0.1],
            [0.1, 0.2, 0.7],
        ]
    )
    report = classification_report(target, probabilities)
    assert confusion_matrix(target, decide(probabilities)).tolist() == [
        [1, 1, 0],
        [1, 2, 0],
        [0, 0, 1],
    ]
    assert report["accuracy"] == pytest.approx(4 / 6)
    assert report["precision_sell"] == report["recall_sell"] == report["f1_sell"] == 0.5
    assert report["f1_neutral"] == pytest.approx(2 / 3)
    assert report["f1_buy"] == 1
    assert report["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    assert report["mcc"] == pytest.approx((4 * 6 - 14) / 22)  # says 2, 3, 1 as often as it was
    logs = sum(math.log(p) for p in (0.6, 0.2, 0.8, 0.6, 0.4, 0.7))
    assert report["log_loss"] == pytest.approx(-logs / 6)
    squares = 0.26 + 0.98 + 0.06 + 0.26 + 0.62 + 0.14
    assert report["brier"] == pytest.approx(squares / 6)
    # Bins of 1/15: 0.5 and 0.5 share one (neither right), 0.6 and 0.6 one (both), 0.7, 0.8 alone.
    assert report["ece"] == pytest.approx((1.0 + 0.8 + 0.3 + 0.2) / 6)


def slow_matthews(target: np.ndarray, predicted: np.ndarray) -> float:
    """The correlation of two one-hot tables, column by column about their means."""
    was, said = (np.eye(3)[side] - np.eye(3)[side].mean(axis=0) for side in (target, predicted))
    spread = (was * was).sum() * (said * said).sum()
    return (was * said).sum() / np.sqrt(spread) if spread > 0 else 0.0


@given(answers=ANSWERS)
def test_scores_of_classes_agree_with_scikit_learn(answers: list[tuple[int, int]]) -> None:
    target, predicted = np.array(answers).T
    matrix = confusion_matrix(target, predicted)
    assert np.array_equal(matrix, oracle.confusion_matrix(target, predicted, labels=[0, 1, 2]))
    expected = oracle.precision_recall_fscore_support(
        target, predicted, labels=[0, 1, 2], zero_division=0
    )
    assert np.allclose(precision_recall_f1(matrix), expected[:3], rtol=0, atol=1e-12)
    assert macro_f1(target, predicted) == pytest.approx(expected[2].mean())
    assert matthews_correlation(matrix) == pytest.approx(slow_matthews(target, predicted))


def test_probability_scores_agree_with_scikit_learn() -> None:
    target, probabilities = random_forecasts(500)
    assert log_loss(target, probabilities) == pytest.approx(oracle.log_loss(target, probabilities))
    truth = [[float(k == cls) for k in range(3)] for cls in target]
    squares = [
        sum((p - t) ** 2 for p, t in zip(row, was, strict=True))
        for row, was in zip(probabilities, truth, strict=True)
    ]
    assert brier_score(target, probabilities) == pytest.approx(sum(squares) / 500)


def slow_calibration_error(target: np.ndarray, probabilities: np.ndarray, bins: int) -> float:
    total = 0.0
    for k in range(bins):
        rows = [n for n, p in enumerate(probabilities) if k / bins < max(p) <= (k + 1) / bins]
        if rows:
            right = sum(int(np.argmax(probabilities[n])) == target[n] for n in rows)
            total += abs(right - sum(max(probabilities[n]) for n in rows))
    return total / len(target)


@pytest.mark.parametrize("bins", [1, 2, 7, 10, 15])
def test_calibration_error_follows_its_definition(bins: int) -> None:
    target, probabilities = random_forecasts(400)
    probabilities[:60] = [0.2, 0.6, 0.2]  # on the edge of a bin of tenths and of fifteenths
    expected = slow_calibration_error(target, probabilities, bins)
    assert calibration_error(target, probabilities, bins) == pytest.approx(expected, abs=1e-12)


def test_a_calibrated_forecast_has_hardly_any_calibration_error() -> None:
    target, probabilities = calibrated_forecasts(40_000)
    assert calibration_error(target, probabilities) < 0.01
    bold = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    assert calibration_error(target, bold) > 0.1


def test_a_collapsed_model_scores_as_the_facts_say() -> None:
    target = np.repeat([0, 1, 2], [13, 77, 10])
    report = classification_report(target, np.tile([0.13, 0.77, 0.10], (100, 1)))
    assert report["accuracy"] == pytest.approx(0.77)
    assert report["macro_f1"] == pytest.approx(0.29, abs=0.001)
    assert report["mcc"] == 0 and report["ece"] == pytest.approx(0)


def test_decision_weights_move_decisions_and_no_probabilities() -> None:
    target, probabilities = random_forecasts(300)
    plain = classification_report(target, probabilities)
    tilted = classification_report(target, probabilities, (2.0, 1.0, 2.0))
    for name in ("log_loss", "brier", "ece"):
        assert plain[name] == tilted[name]
    assert tilted["recall_sell"] > plain["recall_sell"]
    assert decide(np.array([[0.3, 0.5, 0.2]])).tolist() == [1]
    assert decide(np.array([[0.3, 0.5, 0.2]]), (2, 1, 2)).tolist() == [0]
    assert decide(np.array([[0.25, 0.5, 0.25]]), (2, 1, 2)).tolist() == [0]  # a tie


def test_a_certainty_that_fails_is_dear_and_not_infinite() -> None:
    assert log_loss(np.array([0]), np.array([[0.0, 1.0, 0.0]])) == pytest.approx(36.04, abs=0.01)


def test_float32_and_small_integers_are_taken() -> None:
    target, probabilities = random_forecasts(200)
    expected = classification_report(target, probabilities)
    report = classification_report(target.astype(np.int8), probabilities.astype(np.float32))
    assert report == pytest.approx(expected, abs=1e-6)
    assert all(type(value) is float for value in report.values())


WRONG = {
    "and at least one; got 0 targets": (np.empty(0, int), np.empty((0, 3))),
    r"probabilities of shape \(1, 2\)": (np.array([1]), np.array([[0.5, 0.5]])),
    "classes are 0 to 2; got -1 to 1": (np.array([-1, 1]), np.full((2, 3), 1 / 3)),
    "each row must sum to one": (np.array([0]), np.array([[0.5, 0.5, 0.5]])),
    "each row must sum": (np.array([0, 1]), np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.251]])),
    "sum to one$": (np.array([0]), np.array([[0.5, 0.25, 0.249]])),
    "must not be negative or NaN": (np.array([0]), np.array([[np.nan, 0.5, 0.5]])),
    "not be negative": (np.array([0]), np.array([[-0.5, 1.0, 0.5]])),
    "got 2 targets and probabilities of shape": (np.array([0, 1]), np.full((1, 3), 1 / 3)),
    "got 1 targets": (np.array([0]), np.full((1, 2), 0.5)),
    "classes are 0 to 2; got -1 to 0": (np.array([0, -1]), np.full((2, 3), 1 / 3)),
    "got 1 to 3": (np.array([1, 3]), np.full((2, 3), 1 / 3)),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_are_no_forecasts_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_report(*WRONG[message])


def test_what_is_constant_but_for_rounding_correlates_with_nothing_and_a_rare_row_does() -> None:
    """Sums of weighed rows are not whole; of many rows one may be all that is not alike."""
    rounded = np.zeros((3, 3))
    rounded[:, 1] = 35779.51967090702, 57152.983072976094, 32186.939107594215
    assert matthews_correlation(rounded) == 0
    rare = np.diag([1.0, 99_999.0, 0.0])
    assert matthews_correlation(rare) == pytest.approx(1)
    assert matthews_correlation(np.zeros((3, 3))) == 0
