"""The proof of the intervals, in small: they hold the truth, and the usual ones do not."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from scipy.stats import norm

from quantgod.backtest import trading_power
from quantgod.backtest.trading_power import Trader
from quantgod.contracts import MS_PER_MINUTE
from quantgod.evaluation.comparison import compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.interval_power import (
    DESIGNS,
    EVEN,
    STRONG,
    Design,
    DesignOutcome,
    ForecastSkill,
    bootstrapped,
    case,
    forecasts,
    held,
    prove,
    truth,
)
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import classification_report, log_loss, macro_f1

SMALL = Design(name="small", rows=120, horizon=15, stride=5, edges=EVEN, skills=STRONG)


@pytest.mark.long
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


def test_a_market_is_what_its_rules_make_minute_by_minute() -> None:
    skills = (ForecastSkill(0.6, 0.5), ForecastSkill(0.2, 0.7))
    design = Design(
        name="", rows=7, horizon=3, stride=2, edges=(-0.6, 0.7), skills=skills, volatility=0.4
    )
    rng, moments = np.random.default_rng(5), range(0, 14, 2)

    def slow(minutes: int, memory: float) -> list[float]:
        kept, values = math.exp(-1 / memory), []
        shocks = rng.standard_normal(minutes)
        value = rng.standard_normal()
        for shock in shocks:
            value = kept * value + math.sqrt(1 - kept**2) * shock
            values.append(value)
        return values

    spread = [math.exp(0.4 * value - 0.16) for value in slow(17, 2_880)]
    returns = [each * shock for each, shock in zip(spread, rng.standard_normal(17), strict=True)]
    future = [sum(returns[moment : moment + 3]) / math.sqrt(3) for moment in moments]
    target, said = forecasts(design, 7, seed=5)
    assert target.tolist() == [0 if x < -0.6 else 2 if x >= 0.7 else 1 for x in future]
    assert list(said) == ["model 1", "model 2", "majority"]
    common = slow(14, 1.5)
    for (true, claimed), one in zip(skills, said.values(), strict=False):
        own = slow(14, 1.5)
        for row, moment in enumerate(moments):
            noise = math.sqrt(0.6) * common[moment] + math.sqrt(0.4) * own[moment]
            sign = true * future[row] / spread[moment] + math.sqrt(1 - true**2) * noise
            left = math.sqrt(1 - claimed**2)
            sell = norm.cdf((-0.6 / spread[moment] - claimed * sign) / left)
            buy = norm.sf((0.7 / spread[moment] - claimed * sign) / left)
            chances = [sell, 1 - sell - buy, buy]
            assert one.probabilities[row] == pytest.approx(chances)
            assert one.decided[row] == np.argmax(np.multiply(chances, [2, 1, 2]))
    usual = [norm.cdf(-0.6), norm.cdf(0.7) - norm.cdf(-0.6), norm.sf(0.7)]
    assert said["majority"].probabilities == pytest.approx(np.tile(usual, (7, 1)))
    assert said["majority"].decided.tolist() == [1] * 7, "though a move weighs twice as much"


def test_the_truth_is_scored_on_all_rows_of_markets_of_their_own() -> None:
    drawn = [forecasts(SMALL, 100_000, 10**9 + part) for part in range(3)]
    target = np.concatenate([came for came, _ in drawn])
    true = truth(SMALL, 300_000)
    for name in ("model 1", "model 2", "majority"):
        given = np.concatenate([said[name].probabilities for _, said in drawn])
        decided = np.concatenate([said[name].decided for _, said in drawn])
        assert true[name, "log_loss"] == pytest.approx(log_loss(target, given))
        assert true[name, "macro_f1"] == pytest.approx(macro_f1(target, decided))
        if name != "model 1":
            apart = true["model 1", "macro_f1"] - true[name, "macro_f1"]
            assert true[f"model 1 - {name}", "macro_f1"] == pytest.approx(apart)
    weights = (2.0, 1.0, 2.0)
    chances = np.concatenate([said["model 1"].probabilities for _, said in drawn])
    report = classification_report(target, chances, weights)
    assert {name: true["model 1", name] for name in ("mcc", "f1_sell")} == pytest.approx(
        {name: report[name] for name in ("mcc", "f1_sell")}
    )


def test_a_case_is_a_comparison_of_overlapping_rows() -> None:
    target, said = forecasts(SMALL, SMALL.rows, 3)
    time_ms = np.arange(120) * 5 * MS_PER_MINUTE
    found = compare(target, said, effective_rows(time_ms, time_ms + 15 * MS_PER_MINUTE))
    made = case(SMALL, 3)
    assert made["model 2", "brier"] == found.models["model 2"]["brier"]
    assert made["model 1 - majority", "mcc"] == found.differences["majority"]["mcc"]
    assert len(made) == 5 * 7


@pytest.mark.parametrize(("rows", "stride", "block"), [(120, 5, 9), (120, 4, 12), (30, 5, 7)])
def test_the_bootstrap_draws_blocks_of_three_horizons(rows: int, stride: int, block: int) -> None:
    design = msgspec.structs.replace(SMALL, rows=rows, stride=stride)
    target, said = forecasts(design, rows, seed=4)
    starts = np.random.default_rng(4).integers(0, rows - block + 1, (200, math.ceil(rows / block)))
    scores = []
    for round_of in starts:
        drawn = np.concatenate([np.arange(start, start + block) for start in round_of])
        both = [macro_f1(target[drawn], one.decided[drawn]) for one in said.values()]
        loss = log_loss(target[drawn], said["model 2"].probabilities[drawn])
        scores.append((both[0], both[0] - both[1], loss))
    bounds = np.quantile(scores, [0.025, 0.975], axis=0).T
    found = bootstrapped(design, seed=4)
    for key, ends in zip(
        (("model 1", "macro_f1"), ("model 1 - model 2", "macro_f1"), ("model 2", "log_loss")),
        bounds, strict=True,
    ):  # fmt: skip
        assert found[key][1:3] == pytest.approx(ends)
        assert found[key].value == pytest.approx(case(design, 4)[key].value)


def test_a_proof_is_of_as_many_cases_of_fresh_seeds_as_are_asked_for() -> None:
    design = msgspec.structs.replace(SMALL, times=2)
    found = {one.score: one for one in prove(design, 2, 100_000)}
    assert len(found) == 4 * 7 and not any(name == "mcc, majority" for name in found)
    met = [case(design, 1_000_000 + place)["model 1", "mcc"] for place in range(4)]
    usual = [bootstrapped(design, 1_000_000 + place)["model 1", "mcc"] for place in range(4)]
    true = truth(SMALL, 100_000)["model 1", "mcc"]
    expected = DesignOutcome.of("small", "mcc, model 1", 40.0, met, true)
    assert found["mcc, model 1"] == msgspec.structs.replace(expected, bootstrap=held(usual, true))
    assert found["mcc, model 1"].cases == 4


def test_an_outcome_is_of_the_cases_that_are_judged() -> None:
    met = [Interval(0.4, 0.2, 0.5), Interval(0.6, 0.5, 0.9), Interval(0.9, 0.0, 1.0, False),
           Interval(0.2, 0.1, 0.4)]  # fmt: skip
    found = DesignOutcome.of("a", "mcc", 40.0, met, 0.5)
    assert found.held is not None
    assert (found.cases, found.judged) == (4, 0.75)
    assert found.held == pytest.approx((2 / 3, (0.3 + 0.4 + 0.3) / 3)), "an end is within"
    assert found.needed == pytest.approx(2 * norm.ppf(0.975) * np.std([0.4, 0.6, 0.2]))
    none = DesignOutcome.of("a", "mcc", 40.0, met[2:3], 0.5)
    assert (none.judged, none.held, none.needed) == (0, None, 0)


def test_rows_that_do_not_overlap_are_independent() -> None:
    made = {stride: Design(name="", rows=90, horizon=15, stride=stride) for stride in (5, 15, 20)}
    assert [one.independent for one in made.values()] == [30, 90, 90]
