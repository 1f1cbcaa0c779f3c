"""A challenger that is better wins, an equal one does not, and too few rows decide nothing."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation.comparison import ModelOutput
from quantgod.evaluation.intervals import Interval
from quantgod.gates.duel import Duel, Truth, duel
from tests.evaluation.class_forecasts import HORIZON, hourly_market, informed

LEAST_ROWS = 30.0
SEEDS = range(10)
ROWS = 4_000


def fought(seed: int, challenger: float, champion: float) -> Duel:
    truth, future = hourly_market(ROWS, seed)
    sides = [
        informed(future, skill, seed + place)
        for place, skill in ((100, challenger), (200, champion))
    ]
    return duel(truth, *sides, LEAST_ROWS)


def test_a_better_challenger_wins_nearly_always() -> None:
    assert sum(fought(seed, 0.8, 0.3).won for seed in SEEDS) >= 9


def test_an_equal_challenger_hardly_ever_wins() -> None:
    assert sum(fought(seed, 0.5, 0.5).won for seed in SEEDS) <= 1


def test_a_worse_challenger_never_wins() -> None:
    assert not any(fought(seed, 0.3, 0.6).won for seed in SEEDS)


def test_just_as_many_effective_rows_as_are_asked_for_are_enough() -> None:
    truth, future = hourly_market(ROWS, 1)
    sides = informed(future, 0.8, 2), informed(future, 0.3, 3)
    for asked, is_enough in ((0, True), (np.inf, False)):
        effective_rows = float(np.nextafter(truth.effective_rows, asked))
        for least in (truth.effective_rows, effective_rows):
            found = duel(truth, *sides, least)
            assert (found.problem == "") is (is_enough or least == truth.effective_rows)


def test_the_same_forecasts_win_nothing() -> None:
    truth, future = hourly_market(ROWS, 1)
    said = informed(future, 0.5, 2)
    found = duel(truth, said, said, LEAST_ROWS)
    assert found.log_loss == Interval(0, 0, 0) and not found.won


def test_two_copies_that_differ_in_the_last_bits_win_nothing() -> None:
    truth, future = hourly_market(ROWS, 1)
    said = informed(future, 0.5, 2)
    happened = np.eye(3)[truth.target]
    hair = ModelOutput(said.probabilities * (1 - 1e-8) + 1e-8 * happened, said.decided)
    found = duel(truth, hair, said, LEAST_ROWS)
    assert found.log_loss is not None and found.log_loss.high < 0 and not found.won


def test_a_new_calibration_that_changes_no_decision_may_win() -> None:
    truth, future = hourly_market(ROWS, 1)
    good = informed(future, 0.6, 2)
    powers = good.probabilities**4
    sure = ModelOutput(powers / powers.sum(axis=1, keepdims=True), good.decided)
    found = duel(truth, good, sure, LEAST_ROWS)
    assert found.macro_f1 == Interval(0, 0, 0) and found.won
    assert not duel(truth, sure, good, LEAST_ROWS).won


def test_better_probabilities_do_not_pay_for_worse_decisions() -> None:
    truth, future = hourly_market(ROWS, 1)
    good, poor = informed(future, 0.8, 2), informed(future, 0.3, 3)
    shy = ModelOutput(good.probabilities, np.ones(ROWS, np.int64))
    found = duel(truth, shy, poor, LEAST_ROWS)
    assert found.log_loss is not None and found.log_loss.high < 0
    assert not found.won


def test_too_few_effective_rows_are_a_problem_however_many_rows_there_are() -> None:
    truth, future = hourly_market(29 * HORIZON, 1)
    found = duel(truth, informed(future, 0.9, 2), informed(future, 0.1, 3), LEAST_ROWS)
    assert found.log_loss is None and not found.won
    assert "1740 rows are left, worth 29.9 independent ones; 30 are needed" in found.problem
    assert found.too_few and found.rows == 1740
    compared = duel(truth, informed(future, 0.9, 2), informed(future, 0.1, 3), 20.0)
    assert compared.too_few and not compared.problem and not compared.won, "no interval is known"


def test_symbols_side_by_side_count_as_one() -> None:
    truth, future = hourly_market(3_000, 1)
    sides = informed(future, 0.8, 2), informed(future, 0.3, 3)
    three = Truth(*(np.repeat(column, 3) for column in truth))
    assert three.effective_rows == pytest.approx(truth.effective_rows)
    thrice = [ModelOutput(np.repeat(said.probabilities, 3, axis=0), np.repeat(said.decided, 3))
              for said in sides]  # fmt: skip
    once, found = duel(truth, *sides, LEAST_ROWS), duel(three, *thrice, LEAST_ROWS)
    assert found.log_loss is not None and once.log_loss is not None
    assert found.log_loss[:4] == pytest.approx(once.log_loss[:4], rel=1e-3)


@pytest.mark.parametrize("missing", ["log_loss", "macro_f1"])
def test_a_duel_without_figures_is_not_won(missing: str) -> None:
    figures = {"log_loss": Interval(-0.2, -0.3, -0.1), "macro_f1": Interval(0.1, 0.0, 0.2)}
    assert Duel(**figures).won  # type: ignore[arg-type]
    assert not Duel(**(figures | {missing: None})).won  # type: ignore[arg-type]
    assert not Duel(**figures, problem="of other rows").won  # type: ignore[arg-type]
    assert not Duel(**figures, too_few=True).won  # type: ignore[arg-type]
    even, worse = Interval(0.0, -0.1, 0.1), Interval(-0.001, -0.1, 0.1)
    assert Duel(**(figures | {"macro_f1": even})).won  # type: ignore[arg-type]
    assert not Duel(**(figures | {"macro_f1": worse})).won  # type: ignore[arg-type]
    for high, is_won in ((-2e-6, True), (-1e-6, False), (0.0, False)):
        found = figures | {"log_loss": Interval(-0.2, -0.3, high)}
        assert Duel(**found).won is is_won  # type: ignore[arg-type]
