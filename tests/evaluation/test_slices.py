"""Slices: what is said of their rows, and how sure that is."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.evaluation.groupings import Grouping
from quantgod.evaluation.slices import Rows, slice_scores
from tests.evaluation.class_forecasts import random_forecasts
from tests.evaluation.reaches import reach_of

MINUTE_MS = 60_000


def rows_of(target: np.ndarray, horizon: int = 5) -> Rows:
    time_ms = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS + np.arange(len(target)) * MINUTE_MS
    return Rows(time_ms, time_ms + horizon * MINUTE_MS, target)


def test_a_slice_is_told_by_what_was_decided_and_what_came_in_it() -> None:
    target = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    decided = np.array([0, 1, 1, 0, 2, 0, 0, 1])
    cut = Grouping(("first", "last"), np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    found = slice_scores(cut, rows_of(target), {"auditor": decided})
    first = found["first"]
    assert first is not None
    assert (first.rows, first.share, first.moves) == (6, 0.75, {"auditor": 4})
    value = {name: score and score.value for name, score in first.models["auditor"].items()}
    assert value == pytest.approx({
        "accuracy": 3 / 6, "hit_rate": 2 / 4,
        "precision_sell": 1 / 3, "recall_sell": 1 / 2, "caught_sell": 1 / 3,
        "precision_neutral": 1 / 2, "recall_neutral": 1 / 2, "caught_neutral": 1 / 3,
        "precision_buy": 1.0, "recall_buy": 1 / 2, "caught_buy": 1 / 2,
    })  # fmt: skip


def test_what_is_absent_is_none_and_not_zero() -> None:
    target = np.array([1, 1, 1, 1])
    cut = Grouping(("here", "nowhere"), np.zeros(4, np.int64))
    found = slice_scores(cut, rows_of(target), {"auditor": target})
    here = found["here"]
    assert found["nowhere"] is None and here is not None
    assert here.models["auditor"]["hit_rate"] is None  # no move was decided
    assert here.models["auditor"]["recall_buy"] is None  # none came
    accuracy = here.models["auditor"]["accuracy"]
    assert accuracy is not None and accuracy.value == 1


def gap(hits: list[np.ndarray], chosen: np.ndarray, weight: np.ndarray) -> float:
    ours, theirs = (np.average(hit[chosen], weights=weight[chosen]) for hit in hits)
    return ours - theirs


def test_intervals_cut_the_weighed_rows_anew() -> None:
    """The same as weighing all rows by each wave, and then taking the slice's share of them."""
    count, horizon = 400, 10
    target, given = random_forecasts(count, seed=1)
    rows = rows_of(target, horizon)
    decided = {"auditor": given.argmax(axis=1), "base": random_forecasts(count, seed=2)[0]}
    place = np.repeat([0, 1, 0, 2], [120, 60, 214, 6])
    cut = Grouping(("wide", "narrow", "end"), place)
    found = slice_scores(cut, rows, decided)
    for number, name in enumerate(cut.names):
        part, chosen = found[name], place == number
        assert part is not None
        apart = part.differences["base"]["accuracy"]
        right = part.models["auditor"]["accuracy"]
        assert apart is not None and right is not None
        hits = [decided[model] == target for model in ("auditor", "base")]
        ours, theirs = (np.average(hit[chosen]) for hit in hits)
        assert right.value == pytest.approx(ours)
        assert apart.enough is right.enough is (name != "end")
        if apart.enough:
            reach = reach_of(partial(gap, hits, chosen), count, rows.effective)
            assert apart[1:3] == pytest.approx((ours - theirs - reach, ours - theirs + reach))


def test_an_equal_model_differs_by_nothing() -> None:
    target, given = random_forecasts(60)
    decided = given.argmax(axis=1)
    cut = Grouping(("a", "b"), np.arange(60) % 2)
    found = slice_scores(cut, rows_of(target, 1), {"auditor": decided, "base": decided})
    for part in found.values():
        assert part is not None
        for score in part.differences["base"].values():
            assert score is None or not score.enough or score[:3] == (0.0, 0.0, 0.0)


@given(st.integers(1, 200), st.integers(1, 60))
def test_effective_rows_are_those_that_share_no_minute(count: int, horizon: int) -> None:
    rows = rows_of(np.ones(count, np.int64), horizon)
    found = rows.effective
    assert count / horizon <= found + 1e-9 and found <= count + 1e-9
    alone = np.zeros(count, bool)
    alone[::horizon] = True  # labels that only touch
    assert rows.take(alone).effective == pytest.approx(alone.sum())


def test_a_few_rows_without_exception_are_no_certainty() -> None:
    """Of n independent rows all came true: shares from 0.025^(1/n) on would do that too."""
    target = np.array([0, 1, 2] * 40)
    decided = np.where(np.arange(120) < 80, target, 1)
    cut = Grouping(("first", "last"), (np.arange(120) >= 60).astype(int))
    rows = rows_of(target, 1)
    found = slice_scores(cut, rows, {"auditor": decided})
    first, last = found["first"], found["last"]
    assert first is not None and last is not None
    for score, counted in (("accuracy", 60), ("hit_rate", 40), ("recall_buy", 20)):
        interval = first.models["auditor"][score]
        assert interval is not None and interval[:4] == pytest.approx(
            (1.0, 0.025 ** (1 / counted), 1.0, True)
        )
    caught = last.models["auditor"]["caught_buy"]  # of all 40 that came, 6 or 7 in this slice
    assert caught is not None and 0 < caught.low < caught.high < 1


def test_a_difference_is_judged_from_five_independent_rows_of_either_on() -> None:
    target = np.arange(120) % 3
    decided = {"auditor": target, "base": np.where(np.arange(120) % 5, target, (target + 1) % 3)}
    for rows, is_enough in ((5, True), (4, False)):
        cut = Grouping(("few", "rest"), (np.arange(120) >= rows).astype(int))
        part = slice_scores(cut, rows_of(target, 1), decided)["few"]
        assert part is not None
        apart = part.differences["base"]["accuracy"]
        assert apart is not None and apart.enough is is_enough
        assert is_enough or apart == (pytest.approx(1 / 4), -1, 1, False, "")
        assert part.moves == {"auditor": rows - (rows + 1) // 3, "base": part.moves["base"]}


def test_where_one_decided_nothing_there_is_no_difference() -> None:
    target = np.array([0, 1, 2, 1] * 15)
    cut = Grouping(("all",), np.zeros(60, np.int64))
    still = {"auditor": target, "base": np.ones(60, np.int64)}
    part = slice_scores(cut, rows_of(target, 1), still)["all"]
    assert part is not None and part.moves == {"auditor": 30, "base": 0}
    assert part.differences["base"]["hit_rate"] is None
    assert part.differences["base"]["precision_sell"] is None
    assert part.differences["base"]["recall_sell"] is not None
