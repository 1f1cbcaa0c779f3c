"""Regimes by rules and by a jump model: filtered, of finite memory, and told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.dataset.candles.regimes import fit_jump_model, paths
from quantgod.served.candles import jump_model, regime_rules, regimes
from quantgod.served.candles.jump_model import JumpModel
from quantgod.served.candles.regime_rules import MEMORY, NAMES, PAST, REACH, Rules
from tests.served.candles.planted import planted

CLOSE, TRUTH = planted(seed=1)
ROWS = len(CLOSE)
RANDOM = np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.02, ROWS)))
JUMPS = fit_jump_model([planted(seed=2, segments=8)[0]], penalty=10.0, starts=2)
KINDS = {"rules": Rules(), "jump": JUMPS}
WHOLE = {kind: model.compute({"close": CLOSE}) for kind, model in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_planted_regimes_are_told_apart_better_than_by_chance(kind):
    """Chance is a quarter; a row soon after a change looks back at what was before."""
    said, truth = WHOLE[kind][REACH:], TRUTH[REACH:]
    recall = [(said[truth == regime] == regime).mean() for regime in range(4)]
    assert (said == truth).mean() > 0.5
    assert min(recall) > 0.3


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(st.data())
def test_a_regime_is_the_same_whatever_comes_after_it_or_came_before_its_reach(kind, data):
    first = data.draw(st.integers(0, ROWS - REACH), label="first row given")
    last = data.draw(st.integers(first + REACH, ROWS), label="end of the rows given")
    said = KINDS[kind].compute({"close": CLOSE[first:last]})
    assert (said[: REACH - 1] == -1).all()
    assert (said[REACH - 1 :] == WHOLE[kind][first + REACH - 1 : last]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_another_future_changes_no_regime_of_the_past(kind):
    cut = ROWS // 2
    other = np.concatenate([CLOSE[:cut], 3 * RANDOM[cut:]])
    said = KINDS[kind].compute({"close": other})
    assert (said[:cut] == WHOLE[kind][:cut]).all()
    assert (said[cut:] != WHOLE[kind][cut:]).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [0, 1, 59, PAST, REACH - 1])
def test_too_few_rows_have_no_regime(kind, rows):
    assert KINDS[kind].compute({"close": CLOSE[:rows]}).tolist() == [-1] * rows


def test_a_market_in_which_nothing_moves_ranges():
    flat = {"close": np.full(REACH + 5, 0.1)}
    said = regimes.compute(flat)
    assert (said == regimes.teller()(flat)).all()
    assert [NAMES[regime] for regime in said[REACH - 1 :]] == ["ranging"] * 6


def figures(close):
    """Deviations of 20 returns, newest first, |efficiency| and variance ratio at the last close."""
    returns = np.diff(np.log(close))
    spread = [
        returns[len(returns) - age - 20 : len(returns) - age].std(ddof=1) for age in range(180)
    ]
    away = returns[-60:] - returns[-60:].mean()
    alike = [(away[lag:] * away[:-lag]).sum() / (away**2).sum() for lag in range(1, 5)]
    ratio = 1 + 2 * sum((1 - lag / 5) * one for lag, one in enumerate(alike, start=1))
    return spread, abs(returns[-30:].sum()) / np.abs(returns[-30:]).sum(), ratio


def test_what_regimes_are_told_by_is_its_formulas():
    rules, jump = (one.measures(CLOSE) for one in (regime_rules, jump_model))
    for found in (rules, jump):
        assert np.isnan(found[: PAST - 1]).all()
        assert np.isfinite(found[PAST - 1 :]).all()
    for row in range(PAST - 1, ROWS, 131):
        spread, efficiency, ratio = figures(CLOSE[: row + 1])
        calmer = np.mean([(1 + np.sign(spread[0] - each)) / 2 for each in spread])
        wide = np.diff(np.log(CLOSE[row - 180 : row + 1])).std(ddof=1)
        assert rules[row] == pytest.approx([calmer, efficiency, ratio])
        logs = [np.log(spread[0] / wide), efficiency, np.log(max(ratio, 0.05))]
        assert jump[row] == pytest.approx(logs)


def latched(series, begins, lasts, sign):
    """Whether a state lasts at the end of these rows, one row at a time."""
    state = False
    for value in series:
        if sign * value >= sign * begins:
            state = True
        elif sign * value < sign * lasts:
            state = False
    return state


def test_rules_are_a_walk_along_the_rows_that_are_remembered():
    rules = Rules()
    every = regime_rules.measures(CLOSE)
    for row in range(REACH - 1, ROWS, 7):
        volatility, trend, together = every[row - MEMORY + 1 : row + 1].T
        if latched(volatility, rules.volatile_from, rules.volatile_until, 1):
            expected = "volatile"
        elif latched(trend, rules.trending_from, rules.trending_until, 1):
            expected = "trending"
        elif latched(together, rules.reverting_from, rules.reverting_until, -1):
            expected = "mean_reverting"
        else:
            expected = "ranging"
        assert NAMES[WHOLE["rules"][row]] == expected, row


def switches(model, close=RANDOM):
    said = model.compute({"close": close})[REACH - 1 :]
    return (np.diff(said) != 0).sum()


def test_hysteresis_and_a_penalty_make_regimes_last():
    plain = Rules(volatile_until=0.8, trending_until=0.375, reverting_until=0.6)
    assert switches(Rules()) < 0.7 * switches(plain)
    free = JumpModel(JUMPS.center, JUMPS.scale, JUMPS.centroids, 0.0)
    assert switches(JUMPS) < 0.7 * switches(free)


def test_of_independent_returns_few_rows_lie_beyond_the_outer_thresholds():
    """As the rules say: one in ten of each, give or take what so few rows tell."""
    drawn = np.random.default_rng(0).normal(0, 0.02, (12, 1_500))
    found = np.concatenate(
        [regime_rules.measures(np.exp(np.cumsum(part)))[PAST - 1 :] for part in drawn]
    )
    assert 0.05 < (found[:, 1] >= Rules.trending_from).mean() < 0.15
    assert 0.05 < (found[:, 2] <= Rules.reverting_from).mean() < 0.15


def test_a_jump_model_says_where_the_cheapest_path_of_the_remembered_rows_ends():
    costs = JUMPS.costs(jump_model.measures(CLOSE))
    begins = np.zeros(MEMORY, dtype=bool)
    for row in range(REACH - 1, ROWS, 37):
        placed, _ = paths(costs[None, row - MEMORY + 1 : row + 1], begins, JUMPS.penalty)
        assert placed[0, -1] == WHOLE["jump"][row], row


@pytest.mark.parametrize("kind", KINDS)
def test_both_kinds_are_read_from_what_they_tell(kind):
    told = json.loads(json.dumps(KINDS[kind].to_json()))
    assert (regimes.teller(told)({"close": CLOSE}) == WHOLE[kind]).all()


def test_rules_keep_their_thresholds_in_json():
    rules = Rules(trending_from=0.5, reverting_until=0.9)
    assert Rules.from_json(rules.to_json()) == rules


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="rules or jump expected, got 'smoothed'"):
        regimes.teller({"kind": "smoothed"})


@pytest.mark.parametrize(
    "wrong", [{"volatile_until": 0.9}, {"trending_from": 0.1}, {"reverting_until": 0.5}]
)
def test_a_state_that_ends_before_it_begins_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong)).split('_')[0]}_from"):
        Rules(**wrong)


def test_a_row_costs_half_its_squared_distance_from_a_centroid():
    model = JumpModel(np.full(3, 5.0), np.array([1.0, 2.0, 4.0]), np.eye(4, 3), 1.0)
    costs = model.costs(np.array([[5.0, 5.0, 5.0], [6.0, 9.0, 5.0]]))
    np.testing.assert_allclose(costs, [[0.5, 0.5, 0.5, 0], [2, 1, 3, 2.5]])
