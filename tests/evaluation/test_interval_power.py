"""The proof of the intervals, in small: they hold the truth, and the usual ones do not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from quantgod.backtest import trading_power
from quantgod.backtest.trading_power import Trader
from quantgod.evaluation.interval_power import (
    DESIGNS,
    EVEN,
    STRONG,
    Design,
    case,
    forecasts,
    prove,
    truth,
)

SMALL = Design(name="small", rows=120, horizon=15, stride=5, edges=EVEN, skills=STRONG)


def test_intervals_of_40_independent_rows_hold_the_truth_where_the_bootstraps_do_not() -> None:
    """Each share of 100 cases; all together they must hold what is promised, as one must not."""
    found = prove(SMALL, cases=100, true_rows=300_000)
    assert {one.effective_rows for one in found} == {40.0}
    held = {one.score: one.held.share for one in found if one.held and one.judged == 1}
    assert len(held) >= 20
    assert np.mean(list(held.values())) == pytest.approx(0.95, abs=0.02)
    assert min(held.values()) > 0.88
    assert np.mean([one.bootstrap.share for one in found if one.bootstrap]) < 0.91
    told = [(one.held.width, one.needed) for one in found if one.held]
    assert all(needed < 1.1 * width and width < 1.5 * needed for width, needed in told)
    never = {one.score for one in found if not one.held}
    assert never == {f"{score}_sell, model 1 - majority" for score in ("precision", "f1")}


def test_a_forecaster_is_as_good_as_it_claims_where_it_claims_what_is_true() -> None:
    true = truth(SMALL, 300_000)
    assert true["model 1", "log_loss"] < true["model 2", "log_loss"]
    assert true["model 1 - majority", "log_loss"] < -0.15
    target, said = forecasts(SMALL, 100_000, seed=1)
    chances = said["model 1"].probabilities
    for edge in (0.2, 0.5, 0.7):
        near = np.abs(chances[:, 0] - edge) < 0.05
        assert (target[near] == 0).mean() == pytest.approx(edge, abs=0.03)


def test_a_dozen_trades_tell_what_they_can_and_fewer_are_not_judged() -> None:
    found = trading_power.prove(Trader(2_000, 100), 200, true_cases=400)
    assert [one.score for one in found] == ["net", "sharpe"]
    for one in found:
        assert 10 < one.effective_rows < 15 and 0.8 < one.judged < 0.95
        assert one.held is not None and one.held.share == pytest.approx(0.95, abs=0.04)
        assert one.held.width < 1.5 * one.needed


def test_a_truth_is_that_of_a_market_however_many_rows_of_it_make_a_case() -> None:
    longer = msgspec.structs.replace(SMALL, rows=4_000, name="longer")
    assert truth(longer, 100_000) is truth(SMALL, 100_000)


def test_volatility_that_remembers_days_makes_weeks_of_one_kind() -> None:
    """Moves of whole parts of a market differ far more than their overlap lets them."""
    for volatility, least, most in ((0.0, 0.0, 0.05), (0.4, 0.08, 0.2)):
        design = msgspec.structs.replace(SMALL, volatility=volatility)
        parts = [forecasts(design, 2_000, seed)[0] for seed in range(40)]
        shares = [(target != 1).mean() for target in parts]
        assert least < np.std(shares) < most
        assert 0.5 < np.mean(shares) < 0.7


def test_the_same_seed_draws_the_same_case() -> None:
    assert case(SMALL, 3) == case(SMALL, 3) != case(SMALL, 4)


def test_designs_reach_from_thirty_independent_rows_to_hundreds() -> None:
    effective = [one.independent for one in DESIGNS]
    assert 30 <= min(effective) < 40 and max(effective) > 600
