"""Models on the same rows: which scores can be judged, and differences pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.metrics import classification_report
from quantgod.served.calibration import decide
from tests.evaluation.forecasts import calibrated_forecasts, random_forecasts
from tests.evaluation.reaches import reach_of

SELL, NEUTRAL, BUY = range(3)


def said(given: np.ndarray, decision_weights: tuple[float, ...] | None = None) -> ModelOutput:
    return ModelOutput(given, decide(given, decision_weights))


def decided(*counts: tuple[int, int, int]) -> tuple[np.ndarray, ModelOutput]:
    """Rows by (came, decided, how many), in a drawn order, and honest enough probabilities."""
    pairs = np.array([(came, made) for came, made, rows in counts for _ in range(rows)])
    np.random.default_rng(0).shuffle(pairs)
    return pairs[:, 0], ModelOutput(np.full((len(pairs), 3), 1 / 3), pairs[:, 1])


def test_the_report_is_compared_pair_by_pair() -> None:
    target, good = calibrated_forecasts(600)
    _, bad = random_forecasts(600, seed=9)
    weighed = (2.0, 1.0, 2.0)
    models = {"good": said(good, weighed), "bad": said(bad), "same": said(good, weighed)}
    found = compare(target, models, 200.0)
    assert {name: one.value for name, one in found.models["good"].items()} == pytest.approx(
        classification_report(target, good, weighed)
    )
    assert list(found.models) == ["good", "bad", "same"]
    assert list(found.differences) == ["bad", "same"]
    assert found.differences["bad"]["log_loss"].high < 0
    assert found.differences["bad"]["macro_f1"].low > 0
    gap = found.models["good"]["mcc"].value - found.models["bad"]["mcc"].value
    assert found.differences["bad"]["mcc"].value == pytest.approx(gap)
    for name, one in found.differences["same"].items():
        assert one[:3] == (0, 0, 0) or name == "ece"


def test_a_paired_difference_is_narrower_than_two_intervals() -> None:
    target, model = calibrated_forecasts(600)
    models = {"model": said(model), "near": said(0.95 * model + 0.05 / 3)}
    found = compare(target, models, 600.0)
    apart, alone = found.differences["near"]["log_loss"], found.models["near"]["log_loss"]
    assert apart.high - apart.low < (alone.high - alone.low) / 3


@given(seed=st.integers(0, 10_000), rows=st.integers(40, 90))
def test_added_up_rows_score_as_the_weighed_rows_do(seed: int, rows: int) -> None:
    """Each score anew from rows that are weighed one by one."""
    target, given = random_forecasts(rows, seed)
    one = said(given)
    found = compare(target, {"one": one}, 40.0).models["one"]["log_loss"]
    losses = -np.log(given[np.arange(rows), target])
    reach = reach_of(lambda weight: np.log(np.average(losses, weights=weight)), rows, 40.0)
    if found.enough:  # which two rows of each class make it
        width = np.log(found.high) - np.log(found.low)
        assert width == pytest.approx(2 * reach, rel=1e-5)


def test_a_class_that_hardly_came_is_too_little_to_judge_by() -> None:
    for came, is_enough in ((1, False), (2, True)):
        target, one = decided((SELL, SELL, 20), (NEUTRAL, NEUTRAL, 40 - came), (BUY, NEUTRAL, came))
        found = compare(target, {"one": one}, 60.0).models["one"]
        for score in ("log_loss", "brier", "mcc"):
            assert found[score].enough is is_enough, score
        assert not found["macro_f1"].enough, "nor is one that may yet be decided"
        assert found["accuracy"].enough


def test_a_class_that_neither_comes_nor_is_decided_is_none_of_the_task() -> None:
    target, one = decided((SELL, SELL, 20), (BUY, BUY, 15), (SELL, BUY, 5), (BUY, SELL, 5))
    found = compare(target, {"one": one}, 45.0).models["one"]
    assert found["mcc"].enough and found["log_loss"].enough


def test_moves_that_luck_would_hardly_hit_are_too_few_to_judge_decisions_by() -> None:
    for moves, is_enough in ((3, False), (9, True)):
        target, one = decided(
            (SELL, SELL, moves), (SELL, NEUTRAL, 12), (NEUTRAL, NEUTRAL, 40), (BUY, NEUTRAL, 10)
        )
        found = compare(target, {"one": one}, float(len(target))).models["one"]
        assert found["mcc"].enough is found["macro_f1"].enough is is_enough
        assert found["log_loss"].enough
        assert is_enough or (found["mcc"].low, found["mcc"].high) == (-1, 1)


def test_a_class_that_is_decided_once_leaves_macro_f1_open_and_not_mcc() -> None:
    common = (SELL, SELL, 15), (SELL, NEUTRAL, 10), (NEUTRAL, NEUTRAL, 30), (BUY, NEUTRAL, 5)
    target, one = decided(*common, (BUY, BUY, 1))
    found = compare(target, {"one": one}, float(len(target))).models["one"]
    assert found["mcc"].enough and not found["macro_f1"].enough


def test_a_rarer_class_that_luck_would_never_hit_leaves_macro_f1_open_and_not_mcc() -> None:
    """BUY came in 3 rows of 70 and was decided as often: luck hits it once in 8 such parts."""
    for rows, is_enough in ((3, False), (4, True)):
        target, one = decided(
            (SELL, SELL, 15), (SELL, NEUTRAL, 10), (NEUTRAL, NEUTRAL, 40), (BUY, BUY, rows)
        )
        found = compare(target, {"one": one}, float(len(target))).models["one"]
        assert found["mcc"].enough and found["macro_f1"].enough is is_enough


def test_a_class_that_came_often_and_was_never_decided_has_an_f1_of_nothing() -> None:
    for came, is_enough in ((9, False), (10, True)):
        target, one = decided(
            (SELL, SELL, 15), (SELL, NEUTRAL, 10), (NEUTRAL, NEUTRAL, 40), (BUY, NEUTRAL, came)
        )
        found = compare(target, {"one": one}, float(len(target))).models["one"]
        assert found["macro_f1"].enough is is_enough and found["mcc"].enough


def test_hits_of_a_rare_class_that_ill_luck_withheld_are_still_to_come() -> None:
    """Of 8 decisions on BUY none came true; luck has one, and half of that is counted as doubt."""
    target, one = decided(
        (SELL, SELL, 20), (NEUTRAL, NEUTRAL, 28), (BUY, NEUTRAL, 8), (NEUTRAL, BUY, 8)
    )
    found = compare(target, {"one": one}, 64.0).models["one"]["macro_f1"]
    a_hit = 2 / (8 + 8) / 3
    assert found.enough and found.high - found.value > 1.96 * np.sqrt(0.5) * a_hit


def test_what_never_changes_its_mind_can_be_compared_with_and_not_be_judged() -> None:
    target, good = calibrated_forecasts(600)
    always = ModelOutput(np.tile([0.2, 0.5, 0.3], (600, 1)), np.full(600, NEUTRAL))
    found = compare(target, {"good": said(good), "always": always}, 100.0)
    assert not found.models["always"]["mcc"].enough
    assert found.models["always"]["mcc"].value == 0
    assert found.differences["always"]["mcc"].enough
    assert found.differences["always"]["mcc"].low > 0
    assert found.models["good"]["f1_sell"].enough
    assert not found.differences["always"]["f1_sell"].enough, "0 by convention, and no figure"


def test_two_that_decide_alike_but_for_a_row_are_not_told_apart_by_decisions() -> None:
    target, good = calibrated_forecasts(600)
    one = said(good)
    for changed, is_enough in ((0, True), (17, False), (18, True)):
        other = one.decided.copy()
        other[:changed] = (other[:changed] + 1) % 3
        apart = compare(target, {"one": one, "other": ModelOutput(good, other)}, 100.0).differences
        assert apart["other"]["macro_f1"].enough is is_enough
        assert changed or apart["other"]["macro_f1"][:3] == (0, 0, 0)


def test_calibration_error_is_bounded_with_all_that_chance_may_have_added() -> None:
    """Perfect calibration is held by nearly every interval, though it is never what is found."""
    held = []
    for seed in range(40):
        target, given = calibrated_forecasts(400, seed)
        found = compare(target, {"one": said(given)}, 400.0).models["one"]["ece"]
        assert found.value > 0.02 and found.enough
        held.append(found.low == 0)
    assert np.mean(held) > 0.9
    target, given = calibrated_forecasts(4_000)
    sure = given**4 / (given**4).sum(axis=1, keepdims=True)
    found = compare(target, {"one": said(sure)}, 4_000.0).models["one"]["ece"]
    assert 0.1 < found.low < found.value < found.high


def test_what_cannot_be_compared_is_refused() -> None:
    target, given = random_forecasts(5)
    with pytest.raises(ValueError, match="at least one model"):
        compare(target, {}, 5.0)
    with pytest.raises(ValueError, match="each row must sum to one"):
        compare(target, {"one": ModelOutput(2 * given, target)}, 5.0)


def test_luck_keeps_a_few_moves_without_exception_from_being_certain() -> None:
    """All came true: the rows alone, however weighed, would show no doubt."""
    target, one = decided((SELL, SELL, 12), (NEUTRAL, NEUTRAL, 40), (BUY, BUY, 8))
    found = compare(target, {"one": one}, 60.0).models["one"]
    for score in ("macro_f1", "mcc", "accuracy", "recall_buy"):
        assert found[score].enough
        assert found[score].low < 0.99 and found[score][0] == found[score].high == 1, score


def alone(*counts: tuple[int, int, int]) -> dict[str, str]:
    """Why each score of such rows is not judged, each row being independent."""
    target, one = decided(*counts)
    found = compare(target, {"one": one}, float(len(target))).models["one"]
    return {name: interval.lacks for name, interval in found.items()}


def test_a_score_that_is_not_judged_says_what_it_lacks_and_rows_only_where_they_are_few() -> None:
    lacks = alone((SELL, NEUTRAL, 100), (NEUTRAL, NEUTRAL, 200), (BUY, NEUTRAL, 100))
    assert lacks["macro_f1"] == lacks["mcc"] == "only NEUTRAL decided"
    assert lacks["precision_sell"] == lacks["f1_sell"] == "SELL never decided"
    assert lacks["log_loss"] == lacks["accuracy"] == "", "these are judged"

    lacks = alone((SELL, SELL, 100), (NEUTRAL, NEUTRAL, 100), (BUY, NEUTRAL, 5))
    assert lacks["macro_f1"] == "BUY never decided", "which it may yet be"
    assert lacks["recall_buy"] == "BUY never decided" and lacks["recall_sell"] == ""

    lacks = alone((SELL, SELL, 100), (NEUTRAL, NEUTRAL, 100), (NEUTRAL, BUY, 20))
    assert lacks["macro_f1"] == lacks["precision_buy"] == "BUY never came"

    lacks = alone((SELL, NEUTRAL, 8), (NEUTRAL, NEUTRAL, 8), (BUY, NEUTRAL, 8))
    assert lacks["macro_f1"] == lacks["log_loss"] == lacks["recall_buy"] == "too few rows"


def test_a_difference_that_is_not_judged_says_what_it_lacks() -> None:
    target, model = calibrated_forecasts(900)
    flat = np.tile([0.2, 0.6, 0.2], (900, 1))
    one = said(model)
    other = np.where(np.arange(900) == 450, (one.decided + 1) % 3, one.decided)
    models = {"one": one, "flat": said(flat), "near": ModelOutput(model, other)}
    found = compare(target, models, 900.0).differences
    assert found["near"]["macro_f1"].lacks == "few rows decided otherwise"
    assert found["flat"]["ece"].lacks == "no interval is known"
    assert found["flat"]["macro_f1"].lacks == "", "of who decides on one class all is known"
    assert found["flat"]["recall_sell"].lacks == "SELL never decided by the other"
