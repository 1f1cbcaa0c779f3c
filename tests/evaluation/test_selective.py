"""Selective accuracy: the order that confidence gives, and how much of it is luck."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.intervals import Interval, share_of
from quantgod.evaluation.selective import COVERAGES, Curve, Ranking, curves
from tests.evaluation.class_forecasts import calibrated_forecasts
from tests.evaluation.reaches import reach_of

EFFECTIVE = 80.0


def ranked(
    confidence: np.ndarray, correct: np.ndarray, counted: np.ndarray | None = None
) -> Ranking:
    kept = np.ones(len(confidence), bool) if counted is None else counted
    return Ranking(confidence, correct.astype(bool), kept)


def only(confidence: np.ndarray, correct: np.ndarray, counted: np.ndarray | None = None) -> Curve:
    return curves({"auditor": ranked(confidence, correct, counted)}, EFFECTIVE)["auditor"]


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
    assert curve.gain is not None and curve.gain[:4] == pytest.approx((0, 0, 0, True), abs=1e-12)


def test_the_curve_ends_at_the_accuracy_of_all_and_its_area_is_its_mean() -> None:
    target, given = calibrated_forecasts(300)
    correct = given.argmax(axis=1) == target
    curve = only(given.max(axis=1), correct)
    assert values(curve)[-1] == pytest.approx(correct.mean())
    assert curve.area is not None and curve.area.value == pytest.approx(values(curve).mean())
    assert curve.gain is not None
    assert curve.gain.value == pytest.approx(curve.area.value - correct.mean())
    assert curve.gain.low > 0  # calibrated confidence knows


def test_gains_are_those_of_rows_weighed_and_sorted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    confidence, correct, counted = rng.random(100), rng.random(100) < 0.6, rng.random(100) < 0.8
    order = np.argsort(-confidence)
    order = order[counted[order]]

    def gain(weight: np.ndarray) -> float:
        taken = np.concatenate([[0], np.cumsum(weight[order])])
        hits = np.concatenate([[0], np.cumsum((weight * correct)[order])])
        wanted = np.array(COVERAGES) * taken[-1]
        curve = np.interp(wanted, taken, hits) / wanted
        return float(curve.mean() - curve[-1])

    curve, value = only(confidence, correct, counted), gain(np.ones(100))
    reach = reach_of(gain, 100, EFFECTIVE)
    assert curve.gain is not None and curve.gain[:4] == pytest.approx(
        (value, value - reach, value + reach, True)
    )
    assert curve.rows == counted.sum()


def test_of_the_most_confident_few_nothing_is_judged() -> None:
    confidence = np.random.default_rng(0).random(200)
    curve = only(confidence, confidence < 0.9)
    enough = [point.enough for point in curve.values]
    # 5 of 80 independent rows are the first 6.25 %.
    assert enough == [False] * 6 + [True] * 94
    for point in curve.values:
        assert 0 <= point.low <= point.value <= point.high <= 1


def test_differences_are_paired_and_of_the_first_minus_the_other() -> None:
    correct = np.arange(200) % 3 != 0
    knows, guesses = ranked(correct + 0.0, correct), ranked(np.zeros(200), correct)
    found = curves({"auditor": knows, "base": guesses, "same": knows}, EFFECTIVE)
    assert found["auditor"].difference is None
    assert found["same"].difference == Interval(0.0, 0.0, 0.0)
    assert found["base"].difference is not None and found["base"].difference.low > 0


def test_where_no_row_counts_there_is_no_curve() -> None:
    curve = only(np.ones(50), np.ones(50), np.zeros(50, bool))
    assert (curve.rows, curve.values, curve.area, curve.gain) == (0, (), None, None)


def test_intervals_end_where_an_accuracy_can_be() -> None:
    """Of four rows and two independent ones hardly anything is known."""
    right, wrong = np.array([True, True, True, False]), np.array([True, False, False, False])
    for knows, guesses in ((right, wrong), (wrong, right)):
        models = {"auditor": ranked(np.array([0.9, 0.8, 0.7, 0.6]), knows),
                  "base": ranked(np.array([0.6, 0.7, 0.8, 0.9]), guesses)}  # fmt: skip
        found = curves(models, 2.0)
        for curve in found.values():
            assert curve.area is not None and curve.gain is not None
            assert 0 <= curve.area.low <= curve.area.value <= curve.area.high <= 1
            assert -1 <= curve.gain.low <= curve.gain.high <= 1
        apart = found["base"].difference
        assert apart is not None and -1 <= apart.low <= apart.high <= 1
    sure, never = (ranked(np.arange(60.0), np.full(60, one)) for one in (True, False))
    last = curves({"never": never, "sure": sure}, 2.0)["sure"].difference
    assert last is not None and last[:3] == (-1, -1, -1)


def test_a_single_row_is_a_curve_of_which_nothing_is_known() -> None:
    curve = only(np.ones(1), np.ones(1))
    assert values(curve).tolist() == [1] * 100
    assert curve.area is not None and curve.area[:3] == (1, 1, 1)


def test_each_point_of_a_curve_is_a_share_of_the_rows_kept() -> None:
    rng = np.random.default_rng(3)
    confidence, correct, counted = rng.random(120), rng.random(120) < 0.6, rng.random(120) < 0.8
    order = np.argsort(-confidence)
    order = order[counted[order]]

    def kept(share: float, weight: np.ndarray) -> float:
        taken = np.concatenate([[0], np.cumsum(weight[order])])
        hits = np.concatenate([[0], np.cumsum((weight * correct)[order])])
        return float(np.interp(share * taken[-1], taken, hits) / (share * taken[-1]))

    curve = only(confidence, correct, counted)
    for place in (19, 59, 99):
        share = COVERAGES[place]
        reach = reach_of(lambda weight, share=share: kept(share, weight), 120, EFFECTIVE)
        rows = share * counted.mean() * EFFECTIVE
        expected = share_of(kept(share, np.ones(120)), reach, rows, EFFECTIVE)
        assert curve.values[place][:4] == pytest.approx(expected[:4])
