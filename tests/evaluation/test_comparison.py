"""Models on the same rows: which scores can be judged, and differences pair by pair."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from quantgod.contracts import CLASSES
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.intervals import share_among, weights
from quantgod.evaluation.metrics import (
    calibration_error,
    classification_report,
    confusion_matrix,
    macro_f1,
    matthews_correlation,
)
from quantgod.served.calibration import decide
from tests.evaluation.class_forecasts import calibrated_forecasts, random_forecasts
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
    """Of 64 rows, so that a share of them times 64 is their number to the bit."""
    common = (SELL, SELL, 16), (SELL, NEUTRAL, 10), (NEUTRAL, NEUTRAL, 32)
    for times, is_enough in ((1, False), (2, True)):
        target, one = decided(*common, (BUY, NEUTRAL, 6 - times), (BUY, BUY, times))
        found = compare(target, {"one": one}, 64.0).models["one"]
        assert len(target) == 64 and found["mcc"].enough
        assert found["macro_f1"].enough is is_enough


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

    lacks = alone((SELL, SELL, 98), (SELL, NEUTRAL, 20), (BUY, SELL, 10))
    assert lacks["macro_f1"] == "NEUTRAL never came", "ten of BUY settle it"
    lacks = alone((SELL, SELL, 99), (SELL, NEUTRAL, 20), (BUY, SELL, 9))
    assert lacks["macro_f1"] == "NEUTRAL never came; BUY never decided"

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


OF_CLASSES = [
    f"{kind}_{name.lower()}" for kind in ("precision", "recall", "f1") for name in CLASSES
]
OF_ALL = ["accuracy", "macro_f1", "mcc", "log_loss", "brier", "ece"]
LIMITS = {"mcc": (-1, 1), "log_loss": (0, 36.0436533891), "brier": (0, 2)}


def lacking(counts: np.ndarray, score: str) -> tuple[bool, str]:
    """Whether independent rows by class that came and was decided tell a score, and why not."""
    came, said, rows = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    luck = came * said / rows
    if score in OF_CLASSES:
        kind, name = score.split("_")
        one = CLASSES.index(name.upper())
        misses = came[one] * (rows - said[one]) / rows, said[one] * (rows - came[one]) / rows
        told = min(luck[one], *misses) >= 0.75 and min(came[one], said[one]) >= 5
        parts = [f"{CLASSES[one]} never came"] if came[one] == 0 else []
        parts += [f"{CLASSES[one]} never decided"] if said[one] == 0 < came[one] else []
        counted = {"precision": said, "recall": came, "f1": came + said - counts.diagonal()}[kind]
        return bool(rows >= 30 and told and counted[one] >= 5), "; ".join(parts) * bool(rows >= 30)
    if rows < 30 or score == "accuracy":
        return bool(rows >= 30), ""
    there = (came > 0) | (said > 0)
    is_told = bool((came >= 2)[there].all())
    if score in ("log_loss", "brier", "ece"):
        return is_told, ""
    is_told &= bool(sum(luck) - luck[came.argmax()] >= 1.5)
    if (said > 0).sum() == 1:
        return is_told and score == "mcc", f"only {CLASSES[said.argmax()]} decided"
    untold = (said == 0) & (came > 0) & (came < 10) & (score == "macro_f1")
    parts = {"never came": (came == 0) & (said > 0), "never decided": untold}
    if score == "macro_f1":
        settled = (said >= 2) & (luck >= 0.15) | (said == 0) & (came >= 10)
        is_told &= bool(settled[there].all())
    return is_told, "; ".join(
        f"{' and '.join(name for name, one in zip(CLASSES, which, strict=True) if one)} {how}"
        for how, which in parts.items() if which.any()
    )  # fmt: skip


FEW = st.sampled_from([0, 0, 0, 1, 2, 3, 5, 8, 10])


@given(st.lists(FEW, min_size=9, max_size=9), st.sampled_from([24, 32, 64]), st.integers(0, 8))
def test_what_the_rows_of_each_kind_tell_is_told_and_nothing_else(
    drawn: list[int], rows: int, rest: int
) -> None:
    counts = np.reshape(drawn, (3, 3))
    while counts.sum() > rows:
        counts = counts // 2
    counts[rest // 3, rest % 3] += rows - counts.sum()
    cells = [(cell // 3, cell % 3, int(count)) for cell, count in enumerate(counts.ravel())]
    target, one = decided(*cells)
    found = compare(target, {"one": one}, float(rows)).models["one"]
    for score in (*OF_CLASSES, *OF_ALL):
        is_told, why = lacking(counts, score)
        interval = found[score]
        assert interval.enough is is_told, score
        assert is_told or interval.lacks == (why or "too few rows"), score
        low, high = LIMITS.get(score, (0, 1))
        assert low <= interval.low <= interval.value <= interval.high <= high + 1e-9, score
        if not is_told and score in ("macro_f1", "mcc", "log_loss", "brier", "ece"):
            assert interval[1:3] == pytest.approx((low, high)), score


@given(st.integers(0, 10**6), st.sampled_from([35.0, 90.0]))
def test_a_score_of_a_class_is_a_share_of_its_rows(seed: int, effective: float) -> None:
    target, given = random_forecasts(90, seed)
    one = said(given, (2.0, 1.0, 2.0))
    found = compare(target, {"one": one}, effective).models["one"]
    every, right = np.ones(90, bool), target == one.decided
    share = share_among(right, every, effective)
    assert share is not None and found["accuracy"][:3] == pytest.approx(share[:3])
    for number, name in enumerate(CLASSES):
        came, made = target == number, one.decided == number
        for kind, counted in (("precision", made), ("recall", came), ("f1", came | made)):
            share = share_among(right & came, counted, effective)
            ends = share[:3] if share else (0.0, 0.0, 1.0)
            if kind == "f1":  # of j right among those that came or were decided
                ends = tuple(2 * end / (1 + end) for end in ends)
            assert found[f"{kind}_{name.lower()}"][:3] == pytest.approx(ends)


Score = Callable[[np.ndarray], float]


def doubt(score: Score, target: np.ndarray, made: np.ndarray, effective: float) -> float:
    """Return the squared reach of a score of (3, 3) matrices, each row weighed by every wave."""
    rows, share = len(target), effective**-0.5
    own, luck = (np.eye(9)[came * 3 + made] for came in (target, np.roll(target, rows // 2)))
    reach = reach_of(lambda weight: score(weight @ own), rows, effective)
    centre = (1 - share) * own.mean(axis=0) + share * luck.mean(axis=0)
    moved = [
        score(centre + share * (weight - 1) @ luck / rows) - score(centre)
        for _, _, weight in weights(rows, effective)
    ]
    return reach**2 + norm.ppf(0.975) ** 2 * 8 * float(np.mean(np.square(moved)))


def f1_of(cells: np.ndarray) -> float:
    matrix = cells.reshape(3, 3)
    both = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float(np.mean(2 * matrix.diagonal() / np.where(both > 0, both, 1)))


def withheld(target: np.ndarray, made: np.ndarray, effective: float) -> float:
    """Return the variance of hits that luck would have had and that did not come."""
    total = 0.0
    for number in range(3):
        came, times = (np.mean(side == number) * effective for side in (target, made))
        hits = np.mean((target == number) & (made == number)) * effective
        short = max(came * times / effective / 2 - hits, 0)
        total += short * (2 / 3 / (came + times)) ** 2
    return float(total)


@pytest.mark.parametrize("hits", [0, 1, 6])
def test_intervals_of_decisions_are_those_of_rows_weighed_one_by_one(hits: int) -> None:
    target, one = decided(
        (SELL, SELL, 20), (SELL, NEUTRAL, 6), (NEUTRAL, NEUTRAL, 40), (NEUTRAL, SELL, 9),
        (BUY, BUY, hits), (BUY, NEUTRAL, 14), (NEUTRAL, BUY, 12),
    )  # fmt: skip
    other = one.decided.copy()
    other[::3] = np.roll(other, 1)[::3]
    effective = 60.0
    both = {"one": one, "other": ModelOutput(one.probabilities, other)}
    found = compare(target, both, effective)
    value = macro_f1(target, one.decided)
    unseen = withheld(target, one.decided, effective)
    assert (unseen > 0) is (hits == 0)
    reach = math.sqrt(doubt(f1_of, target, one.decided, effective) + 1.959964**2 * unseen)
    odds = math.log(value / (1 - value))
    ends = [1 / (1 + math.exp(-odds - side * reach / value / (1 - value))) for side in (-1, 1)]
    assert found.models["one"]["macro_f1"][:4] == pytest.approx((value, *ends, True))

    def correlation(cells: np.ndarray) -> float:
        return matthews_correlation(cells.reshape(3, 3))

    value = matthews_correlation(confusion_matrix(target, one.decided))
    reach = math.sqrt(doubt(correlation, target, one.decided, effective))
    assert found.models["one"]["mcc"][1:4] == pytest.approx((value - reach, value + reach, True))
    apart = found.differences["other"]["macro_f1"]
    unseen += withheld(target, other, effective)
    alone = compare(target, {"one": one, "twin": both["other"]}, effective)
    assert alone.differences["twin"] == found.differences["other"]
    joint = doubt_apart(target, one.decided, other, effective)
    reach = math.sqrt(joint + norm.ppf(0.975) ** 2 * unseen)
    assert apart.high - apart.low == pytest.approx(2 * reach)


def doubt_apart(target: np.ndarray, made: np.ndarray, other: np.ndarray, effective: float) -> float:
    """Return the same of the difference of two models' macro-F1."""
    rows, share = len(target), effective**-0.5

    def cells(came: np.ndarray) -> np.ndarray:
        return np.concatenate([np.eye(9)[came * 3 + side] for side in (made, other)], axis=1)

    def apart(columns: np.ndarray) -> float:
        return f1_of(columns[:9]) - f1_of(columns[9:])

    own, luck = cells(target), cells(np.roll(target, rows // 2))
    reach = reach_of(lambda weight: apart(weight @ own), rows, effective)
    centre = (1 - share) * own.mean(axis=0) + share * luck.mean(axis=0)
    moved = [
        apart(centre + share * (weight - 1) @ luck / rows) - apart(centre)
        for _, _, weight in weights(rows, effective)
    ]
    return reach**2 + norm.ppf(0.975) ** 2 * 8 * float(np.mean(np.square(moved)))


@pytest.mark.parametrize(
    ("right", "levels"), [(90, (0.62, 0.97)), (45, (0.62, 0.97)), (2, (0.9999,))]
)
def test_calibration_error_reaches_as_far_as_its_waves_and_down_by_all_of_chance(
    right: int, levels: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(right)
    sure = np.where(np.arange(96) % 2, levels[-1], levels[0])
    given = np.stack([sure, (1 - sure) / 2, (1 - sure) / 2], axis=1)
    target = rng.permutation(np.repeat([0, 1, 2], [right, 96 - right - 2, 2]))
    found = compare(target, {"one": said(given)}, 96.0).models["one"]["ece"]
    gap = (target == 0) - sure
    bins = [np.where(sure == level, gap, 0.0) for level in levels]
    reach = reach_of(
        lambda weight: sum(abs(np.average(one, weights=weight)) for one in bins), 96, 96.0
    )
    waves = [weight for _, _, weight in weights(96, 96.0)]
    chance = 0.0
    for one in bins:
        moved = [np.average(one, weights=weight) - one.mean() for weight in waves]
        chance += math.sqrt(8 * np.mean(np.square(moved)))
    value = calibration_error(target, given)
    low = max(value - math.sqrt(2 / math.pi) * chance - reach, 0)
    assert found[:4] == pytest.approx((value, low, min(value + reach, 1), True), abs=1e-12)
    assert (found.high == 1) is (right == 2)


def test_differences_that_are_not_judged_reach_from_end_to_end() -> None:
    target, one = decided((SELL, SELL, 14), (NEUTRAL, NEUTRAL, 12), (BUY, NEUTRAL, 3))
    other = ModelOutput(one.probabilities, np.roll(one.decided, 1))
    apart = compare(target, {"one": one, "other": other}, 29.0).differences["other"]
    for score, found in apart.items():
        low, high = LIMITS.get(score, (0, 1))
        if not found.enough:
            assert found[1:3] == pytest.approx((low - high, high - low)), score
    assert {score for score, found in apart.items() if found.enough} == set()


def test_a_class_is_settled_for_macro_f1_from_a_tenth_of_the_luck_on() -> None:
    """BUY came and was decided in a sixteenth of the rows: 0.15 hits by luck of 38.4 rows."""
    target, one = decided(
        (SELL, SELL, 10),
        (SELL, NEUTRAL, 4),
        (NEUTRAL, NEUTRAL, 14),
        (BUY, BUY, 2),
        (NEUTRAL, SELL, 2),
    )
    for effective, is_enough in ((38.4, True), (float(np.nextafter(38.4, 0)), False)):
        found = compare(target, {"one": one}, effective).models["one"]
        assert found["mcc"].enough and found["macro_f1"].enough is is_enough


def test_a_class_is_told_from_half_the_luck_on() -> None:
    """BUY came in 6 rows of 64 and was decided in 8: luck hits it three times in four."""
    for made, is_enough in ((8, True), (7, False)):
        target, one = decided(
            (BUY, BUY, 5), (BUY, NEUTRAL, 1), (NEUTRAL, BUY, made - 5), (SELL, SELL, 20),
            (NEUTRAL, NEUTRAL, 43 - made),
        )  # fmt: skip
        found = compare(target, {"one": one}, 64.0).models["one"]
        assert len(target) == 64 and found["f1_buy"].enough is is_enough
