"""Ratios, their intervals, and how probable it is that they are luck."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from quantgod.backtest.performance import (
    expected_best,
    probabilistic_sharpe,
    ratios,
    skill,
)
from quantgod.evaluation.effective_size import effective_size
from tests.evaluation.reaches import reach_of

HORIZON = 10
YEAR = math.sqrt(525_600)


def gains(rows: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, rows)


def test_ratios_and_their_intervals_are_those_of_weighed_minutes() -> None:
    series = gains(800, mean=0.1)

    def ratios_of(weight: np.ndarray) -> dict[str, float]:
        mean = np.average(series, weights=weight)
        squares = np.average(series**2, weights=weight)
        below = np.average(np.minimum(series, 0) ** 2, weights=weight)
        return {
            "net": mean * 800,
            "sharpe": mean / math.sqrt(squares - mean**2) * YEAR,
            "sortino": mean / math.sqrt(below) * YEAR,
        }

    whole = ratios_of(np.ones(800))
    for trades, effective in ((50, 50.0), (200, 80.0)):  # as many as horizons, at most
        found = ratios(series, HORIZON, trades)
        for name, value in whole.items():
            reach = reach_of(lambda weight, name=name: ratios_of(weight)[name], 800, effective)
            expected = value, value - reach, value + reach, True
            assert getattr(found, name)[:4] == pytest.approx(expected, rel=1e-6)


def test_what_is_known_of_a_trader_is_no_more_than_the_trades() -> None:
    series = gains(8_000, mean=0.1)
    few, many = (ratios(series, HORIZON, trades).net for trades in (12, 10_000))
    assert few.high - few.low > many.high - many.low
    assert [ratios(series, HORIZON, trades).net.enough for trades in (9, 10)] == [False, True]
    told = [ratios(series, HORIZON, trades).sharpe.lacks for trades in (9, 10)]
    assert told == ["too few trades", ""]


def test_ratios_do_not_depend_on_the_size_of_positions() -> None:
    small, large = (ratios(size * gains(500, mean=0.1), HORIZON, 50) for size in (1.0, 1e6))
    tiny = ratios(1e-12 * gains(500, mean=0.1), HORIZON, 50)
    assert tiny.sharpe[:4] == pytest.approx(small.sharpe[:4])
    assert large.sharpe[:4] == pytest.approx(small.sharpe[:4])
    assert large.sortino[:4] == pytest.approx(small.sortino[:4])
    assert large.net[:3] == pytest.approx([1e6 * value for value in small.net[:3]])


def test_a_ratio_to_nothing_is_nothing() -> None:
    nothing = ratios(np.zeros(100), HORIZON, 0)
    assert [*nothing.sharpe, *nothing.sortino, *nothing.net] == [0.0, 0.0, 0.0, True, ""] * 3
    for gain in (0.1, 1e6):
        steady = ratios(np.full(100, gain), HORIZON, 20)
        assert [*steady.sharpe[:3], *steady.sortino[:3]] == [0.0] * 6
    winner = np.zeros(1000)
    winner[500] = 7.0
    found = ratios(winner, HORIZON, 1)
    assert [*found.sortino[:3]] == [0.0] * 3 and not found.net.enough


def test_probabilistic_sharpe_is_the_papers_example() -> None:
    # Two years of monthly returns, Sharpe ratio 0.458 a month: Bailey and López de Prado (2012).
    assert probabilistic_sharpe(0.458, 24, 0.0, 3.0) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(0.458, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)


def test_deflated_sharpe_is_the_papers_example() -> None:
    # 100 trials with a variance of 1/2 a year, Sharpe ratio 2.5 a year of 250 days, five years.
    hurdle = math.sqrt(0.5 / 250) * expected_best(100)
    assert hurdle == pytest.approx(0.1132, abs=1e-4)
    found = probabilistic_sharpe(2.5 / math.sqrt(250), 1250, -3.0, 10.0, hurdle)
    assert found == pytest.approx(0.9004, abs=5e-4)


def test_the_best_of_many_is_as_good_as_drawing_shows() -> None:
    rng = np.random.default_rng(0)
    assert expected_best(1) == expected_best(0) == 0
    for trials in (5, 30, 200):
        best = rng.normal(size=(20_000, trials)).max(axis=1).mean()
        assert expected_best(trials) == pytest.approx(best, abs=0.05)


def test_skill_is_sure_of_a_steady_gain_and_of_no_noise() -> None:
    assert skill(gains(5000, mean=0.1), HORIZON, 1).probabilistic > 0.999
    assert skill(-gains(5000, mean=0.1), HORIZON, 1).probabilistic < 0.001
    luck = [skill(gains(500, seed), HORIZON, 1).probabilistic for seed in range(400)]
    assert np.mean(luck) == pytest.approx(0.5, abs=0.05)
    assert np.mean(np.array(luck) > 0.95) < 0.08


def test_one_trial_deflates_nothing_and_more_trials_deflate_more() -> None:
    series = gains(3000, mean=0.05)
    found = [skill(series, HORIZON, trials) for trials in (1, 2, 10, 100)]
    assert found[0].deflated == found[0].probabilistic
    assert np.all(np.diff([one.deflated for one in found]) < 0)


def test_the_hurdle_is_as_high_as_the_best_of_skilless_trials() -> None:
    # Without gain or loss only the hurdle is left, in standard errors of a ratio.
    for trials in (1, 5, 30):
        found = skill(np.zeros(600), HORIZON, trials)
        assert found.deflated == pytest.approx(norm.cdf(-expected_best(trials)))


def test_the_best_of_lucky_searches_is_seldom_taken_for_skill() -> None:
    trials, passed = 20, 0
    for search in range(60):
        tried = [gains(2000, 1000 * search + trial) for trial in range(trials)]
        best = max(tried, key=lambda series: series.mean() / series.std())
        passed += skill(best, HORIZON, trials).deflated >= 0.95
        if search < 20:
            assert skill(best, HORIZON, 1).probabilistic > 0.8, "which naive judging falls for"
    assert passed <= 3


def test_gains_that_repeat_count_less() -> None:
    independent = gains(200, mean=0.15).repeat(HORIZON)
    repeated = gains(20, mean=0.15).repeat(10 * HORIZON)
    assert skill(independent, HORIZON, 1).observations > 100
    assert skill(repeated, HORIZON, 1).observations < 50


def test_one_lucky_trade_is_no_proof() -> None:
    series = np.zeros(6000)
    series[3000] = 500.0
    assert skill(series, HORIZON, 1).probabilistic < 0.95
    # By the paper's formula alone it would be: the one gain makes its own skewness.
    blocks = series.reshape(-1, HORIZON).sum(axis=1)
    standard = (blocks - blocks.mean()) / blocks.std()
    sharpe, skewness = blocks.mean() / blocks.std(), (standard**3).mean()
    spread = 1 - skewness * sharpe + ((standard**4).mean() - 1) / 4 * sharpe**2
    assert norm.cdf(sharpe * math.sqrt((len(blocks) - 1) / spread)) > 0.95


def test_less_than_a_horizon_shows_nothing() -> None:
    found = skill(gains(5, mean=9.0), HORIZON, 1)
    assert (found.probabilistic, found.deflated) == (0.5, 0.5)
    assert found.observations == 1
    assert skill(np.empty(0), HORIZON, 5).deflated == 0.5


@given(st.floats(-2, 2), st.floats(0.5, 500), st.floats(-3, 3), st.floats(1, 12), st.floats(-1, 1))
def test_the_probability_is_the_papers_formula_and_never_surer_than_of_normal_returns(
    sharpe: float, observations: float, skewness: float, kurtosis: float, above: float
) -> None:
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    spread = max(spread, 1 + sharpe**2 / 2)
    score = (sharpe - above) * math.sqrt(max(observations - 1, 0) / spread)
    found = probabilistic_sharpe(sharpe, observations, skewness, kurtosis, above)
    assert found == pytest.approx((1 + math.erf(score / math.sqrt(2))) / 2)


@pytest.mark.parametrize("trials", [2, 3, 30])
def test_the_best_of_several_is_the_papers_formula(trials: int) -> None:
    gamma = 0.5772156649015329
    last, beyond = norm.isf(1 / trials), norm.isf(1 / (trials * math.e))
    assert expected_best(trials) == pytest.approx((1 - gamma) * last + gamma * beyond)


@given(st.integers(1, 60), st.integers(1, 7), st.sampled_from([1, 2, 9]), st.integers(0, 10**6))
def test_skill_is_told_by_sums_over_whole_horizons(
    rows: int, horizon: int, trials: int, seed: int
) -> None:
    series = gains(rows, seed, mean=0.3) ** 3
    sums = [sum(series[start : start + horizon]) for start in range(0, rows, horizon)]
    sums = sums[: rows // horizon]
    found = skill(series, horizon, trials)
    count = max(effective_size(np.array(sums)), 1.0)
    assert found.observations == pytest.approx(count)
    if len(sums) < 2:
        assert (found.probabilistic, found.deflated) == (0.5, 0.5)
        return
    mean, deviation = np.mean(sums), np.std(sums)
    skewness, kurtosis = (np.mean(((sums - mean) / deviation) ** power) for power in (3, 4))
    hurdle = expected_best(trials) / math.sqrt(max(count - 1, 1))
    shape = mean / deviation, count, skewness, kurtosis
    assert found.probabilistic == pytest.approx(probabilistic_sharpe(*shape))
    assert found.deflated == pytest.approx(probabilistic_sharpe(*shape, hurdle))
