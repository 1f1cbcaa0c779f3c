"""The proof of the intervals, in small: they hold the truth, and the usual ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.evaluation import trading_power
from quantgod.evaluation.interval_power import (
    DESIGNS,
    EVEN,
    HEAD,
    STRONG,
    Design,
    case,
    forecasts,
    prove,
    rows_of,
    truth,
)
from quantgod.evaluation.trading_power import Trader

SMALL = Design(name="small", rows=120, horizon=15, stride=5, edges=EVEN, skills=STRONG)


def test_intervals_of_40_independent_rows_hold_the_truth_where_the_bootstraps_do_not() -> None:
    """Each share of 100 cases; all together they must hold what is promised, as one must not."""
    found = prove(SMALL, cases=100, true_rows=300_000)
    assert {one.effective_rows for one in found} == {40.0}
    held = {one.score: one.held for one in found if one.judged == 1}
    assert len(held) >= 20
    assert np.mean(list(held.values())) == pytest.approx(0.95, abs=0.02)
    assert min(held.values()) > 0.88
    assert np.mean([one.bootstrap_held for one in found]) < 0.91
    for one in found:
        assert one.needed < one.width * 1.1 and one.width < 1.5 * one.needed, one
    assert {len(row) for row in rows_of(found)} == {len(HEAD)}


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
    found = list(trading_power.prove(Trader(2_000, 100), 200, true_cases=400))
    assert [one.score for one in found] == ["net", "sharpe"]
    for one in found:
        assert 10 < one.effective_rows < 15 and 0.8 < one.judged < 0.95
        assert one.held == pytest.approx(0.95, abs=0.04) and one.width < 1.5 * one.needed


def test_the_same_seed_draws_the_same_case() -> None:
    assert case(SMALL, 3) == case(SMALL, 3) != case(SMALL, 4)


def test_designs_reach_from_thirty_independent_rows_to_hundreds() -> None:
    effective = [min(one.rows, one.rows * one.stride / one.horizon) for one in DESIGNS]
    assert 30 <= min(effective) < 40 and max(effective) > 600
