"""Slices: what is said of their rows, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.evaluation.bootstrap import Interval, redraws
from quantgod.evaluation.cuts import Cut
from quantgod.evaluation.slices import (
    Redrawing,
    Rows,
    doubted,
    effective_rows,
    interval_of,
    slice_scores,
)
from tests.evaluation.forecasts import random_forecasts

MINUTE_MS = 60_000
REDRAWING = Redrawing(block=7, rounds=40, seed=3)


def rows_of(target: np.ndarray, horizon: int = 5) -> Rows:
    time_ms = 1_700_000_000_000 // MINUTE_MS * MINUTE_MS + np.arange(len(target)) * MINUTE_MS
    return Rows(time_ms, time_ms + horizon * MINUTE_MS, target)


def test_a_slice_is_told_by_what_was_decided_and_what_came_in_it() -> None:
    target = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    decided = np.array([0, 1, 1, 0, 2, 0, 0, 1])
    cut = Cut(("first", "last"), np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    found = slice_scores(cut, rows_of(target), {"auditor": decided}, Redrawing(2, 10, 0))
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
    cut = Cut(("here", "nowhere"), np.zeros(4, np.int64))
    found = slice_scores(cut, rows_of(target), {"auditor": target}, Redrawing(2, 10, 0))
    here = found["here"]
    assert found["nowhere"] is None and here is not None
    assert here.models["auditor"]["hit_rate"] is None  # no move was decided
    assert here.models["auditor"]["recall_buy"] is None  # none came
    accuracy = here.models["auditor"]["accuracy"]
    assert accuracy is not None and accuracy.value == 1


def test_intervals_cut_every_redraw_anew() -> None:
    """The same as redrawing rows one by one, slicing them, and leaving out what says nothing."""
    target, given = random_forecasts(60, seed=1)
    decided = {"auditor": given.argmax(axis=1), "base": random_forecasts(60, seed=2)[0]}
    place = np.repeat([0, 1, 0, 2], [20, 4, 30, 6])
    cut = Cut(("wide", "narrow", "end"), place)
    found = slice_scores(cut, rows_of(target), decided, REDRAWING)
    for number, name in enumerate(cut.names):
        right, apart, sizes = [], [], []
        for index in redraws(60, *REDRAWING):
            chosen = index[place[index] == number]
            sizes.append(len(chosen))
            if len(chosen):
                hit = {model: said[chosen] == target[chosen] for model, said in decided.items()}
                right.append(hit["auditor"].mean())
                apart.append(hit["auditor"].mean() - hit["base"].mean())
        part = found[name]
        assert part is not None
        assert part.drawn == np.mean(np.array(sizes) > 0)
        accuracy, difference = (
            part.models["auditor"]["accuracy"],
            part.differences["base"]["accuracy"],
        )
        assert accuracy is not None and difference is not None
        assert accuracy[1:] == pytest.approx(np.quantile(right, [0.025, 0.975]))
        assert difference[1:] == pytest.approx(np.quantile(apart, [0.025, 0.975]))
    assert found["wide"] is not None and found["wide"].drawn == 1.0
    assert found["end"] is not None and 0 < found["end"].drawn < 1


def test_an_equal_model_differs_by_nothing_on_every_redraw() -> None:
    target, given = random_forecasts(60)
    decided = given.argmax(axis=1)
    cut = Cut(("a", "b"), np.arange(60) % 2)
    found = slice_scores(cut, rows_of(target), {"auditor": decided, "base": decided}, REDRAWING)
    for part in found.values():
        assert part is not None
        differences = {score for score in part.differences["base"].values() if score is not None}
        assert differences == {(0.0, 0.0, 0.0)}


def test_where_no_redraw_says_anything_nothing_is_known() -> None:
    nothing = np.full(5, np.nan)
    assert interval_of(0.25, nothing) == (0.25, 0.0, 1.0)
    assert interval_of(0.25, nothing, -1.0) == (0.25, -1.0, 1.0)
    assert interval_of(float("nan"), np.ones(5)) is None
    assert interval_of(0.5, np.array([np.nan, 0.5, 0.5, np.nan])) == (0.5, 0.5, 0.5)


@given(st.integers(1, 200), st.integers(1, 60))
def test_effective_rows_are_those_that_share_no_minute(count: int, horizon: int) -> None:
    rows = rows_of(np.ones(count, np.int64), horizon)
    everything = np.ones(count, bool)
    found = effective_rows(rows, everything)
    assert count / horizon <= found + 1e-9 and found <= count + 1e-9
    alone = np.zeros(count, bool)
    alone[::horizon] = True  # labels that only touch
    assert effective_rows(rows, alone) == pytest.approx(alone.sum())


def test_a_few_rows_without_exception_are_no_certainty() -> None:
    """Of n independent rows all came true: shares from 0.025^(1/n) on would do that too."""
    target = np.array([0, 1, 2] * 20)
    decided = np.where(np.arange(60) < 40, target, 1)
    cut = Cut(("first", "last"), (np.arange(60) >= 30).astype(int))
    found = slice_scores(cut, rows_of(target), {"auditor": decided}, REDRAWING)["first"]
    assert found is not None
    rows, first = rows_of(target), np.arange(60) < 30
    for score, counted in {
        "accuracy": first,
        "hit_rate": first & (decided != 1),
        "precision_sell": first & (decided == 0),
        "recall_buy": first & (target == 2),
    }.items():
        interval = found.models["auditor"][score]
        independent = effective_rows(rows, counted)
        assert independent < counted.sum()
        assert interval == pytest.approx((1.0, 0.025 ** (1 / independent), 1.0))
    assert doubted(Interval(0.0, 0.0, 0.0), 1.0) == pytest.approx((0.0, 0.0, 0.975))
    last = slice_scores(cut, rows_of(target), {"auditor": decided}, REDRAWING)["last"]
    assert last is not None
    caught = last.models["auditor"]["caught_buy"]  # of all 20 that came, 3 in this slice
    assert caught is not None and 0 < caught.low < caught.high < 1
