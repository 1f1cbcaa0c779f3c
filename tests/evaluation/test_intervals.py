"""Intervals hold what they claim where neighbours are tied, and the naive ones do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import beta, kurtosis, norm, t

from quantgod.dataset.labels import label
from quantgod.dataset.samples import samples
from quantgod.dataset.splits import uniqueness
from quantgod.evaluation.effective_size import effective_rows, effective_size
from quantgod.evaluation.intervals import (
    FEWEST_COUNTED,
    FEWEST_ROWS,
    LOSS,
    PLAIN,
    Interval,
    exact,
    freedom,
    half_width,
    interval,
    left_out,
    quotient,
    replicates,
    share_among,
    share_of,
    terms,
    variance,
    weights,
)
from quantgod.settings import LabelSettings
from tests.evaluation.reaches import reach_of
from tests.synthetic import synthetic_bars


def ar1(rng: np.random.Generator, rows: int, keep: float) -> np.ndarray:
    """A stationary series of mean zero whose neighbours are correlated by `keep`."""
    shocks = rng.normal(size=rows)
    shocks[0] /= np.sqrt(1 - keep**2)
    return lfilter([1], [1, -keep], shocks)


def of_mean(series: np.ndarray, effective: float) -> Interval:
    return interval(replicates(series[:, None], effective).at(0), effective)


def test_intervals_of_a_mean_cover_where_naive_ones_do_not() -> None:
    rng, keep, rows = np.random.default_rng(5), 0.8, 600
    effective = rows * (1 - keep) / (1 + keep)
    series = [ar1(rng, rows, keep) for _ in range(1_000)]
    held, naive = (
        np.mean([found.low <= 0 <= found.high for found in (of_mean(x, n) for x in series)])
        for n in (effective, 1e5)  # as if rows were independent
    )
    assert held == pytest.approx(0.95, abs=0.02)
    assert naive < 0.7


def test_an_interval_is_students_of_the_scores_that_weighed_rows_have() -> None:
    """Every row weighed one by one, as slow as can be, whatever score takes weights."""
    rng, effective = np.random.default_rng(0), 40.0
    losses = rng.exponential(size=(300, 2)) ** 2
    mean = losses.mean(axis=0)[0]
    reach = reach_of(lambda weight: np.log(np.average(losses[:, 0], weights=weight)), 300, 40.0)
    found = interval(replicates(losses, effective).at(0), effective, LOSS)
    expected = mean, mean * math.exp(-reach), mean * math.exp(reach), True
    assert found[:4] == pytest.approx(expected)


def test_rows_are_weighed_evenly_up_and_down_and_left_out_once_each() -> None:
    sides, _, weighed = zip(*weights(300, 40.0), strict=True)
    assert sides == (0, 1) * terms(40.0) == (0, 1) * 9
    assert np.min(weighed) == pytest.approx(0.5, abs=1e-4)
    assert np.sum(weighed, axis=0) == pytest.approx(18)
    blocks = np.array(list(left_out(301, 40.0)))
    assert (1 - blocks).sum(axis=0).tolist() == [1] * 301
    assert set((1 - blocks).sum(axis=1)) == {7, 8} and len(blocks) == 40
    assert len(list(left_out(5_000, 400.0))) == 100
    assert [weight.tolist() for weight in left_out(3, 1.0)] == [[1, 1, 1]]


def test_a_few_rows_that_make_a_mean_are_known_to_tell_little_of_its_error() -> None:
    """One independent row in fifteen costs something, and hardly two cost the same.

    All waves look at the same dozen rows: with a degree of freedom a wave the intervals held the
    truth in 88 of 100 cases, and with as many as there are in 92.
    """
    rng, held, waves_alone = np.random.default_rng(1), [], []
    for _ in range(2_000):
        costs = rng.exponential(size=170) * (rng.random(170) < 1 / 15)
        score = replicates(costs[:, None], 170.0).at(0)
        found = interval(score, 170.0)
        held.append(found.low <= 1 / 15 <= found.high)
        reach = t.ppf(0.975, terms(170.0)) * np.sqrt(variance(score))
        waves_alone.append(abs(found.value - 1 / 15) <= reach)
    assert np.mean(waves_alone) < 0.9
    assert np.mean(held) > 0.915


def test_of_normal_rows_each_wave_is_a_degree_of_freedom() -> None:
    rng = np.random.default_rng(2)
    found = [float(freedom(replicates(rng.normal(size=(400, 1)), 200.0).at(0))) for _ in range(50)]
    assert 0.9 * terms(200.0) < np.mean(found) <= terms(200.0)
    steady = freedom(replicates(np.ones((400, 1)), 200.0).at(0))
    assert steady == terms(200.0), "what never differs has no excess"


def test_more_independent_rows_give_more_waves_and_a_shorter_reach() -> None:
    assert [terms(n) for n in (0.2, 1, 33, 167, 667, 10_000)] == [1, 1, 8, 24, 61, 371]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_hardly_a_row_is_too_few_and_no_error(rows: int) -> None:
    found = of_mean(np.arange(rows, dtype=float), 1.0)
    assert found.low <= found.value <= found.high and not found.enough


def test_just_enough_independent_rows_are_enough() -> None:
    series = np.random.default_rng(0).normal(size=100)
    assert of_mean(series, FEWEST_ROWS).enough
    assert not of_mean(series, np.nextafter(FEWEST_ROWS, 0)).enough


@given(st.integers(2, 60), st.integers(0, 10**6))
def test_a_score_that_never_moves_has_no_width(rows: int, seed: int) -> None:
    value = float(np.random.default_rng(seed).random())
    for scale in (LOSS, PLAIN):
        found = interval(replicates(np.full((rows, 1), value), 40.0).at(0), 40.0, scale)
        assert found[1:3] == pytest.approx((value, value), rel=1e-9)


def test_a_share_counts_the_rows_that_it_is_of() -> None:
    rng = np.random.default_rng(3)
    counted, right = rng.random(4_000) < 0.3, rng.random(4_000) < 0.6
    found = share_among(right, counted, 400.0)
    assert found is not None and found.enough
    rows = 400 * counted.mean()
    assert found.value == pytest.approx(right[counted].mean())
    # Rows are independent here, and more than is said: the interval is as of those that there are.
    error = np.sqrt(0.24 / counted.sum())
    assert found.high - found.low == pytest.approx(2 * t.ppf(0.975, terms(400)) * error, rel=0.3)
    assert exact(found.value, rows).high > found.high
    assert share_among(right, np.zeros(4_000, bool), 400.0) is None


def test_a_few_rows_without_exception_are_no_certainty() -> None:
    """Of n independent rows all came true: shares from 0.025^(1/n) on would do that too."""
    rows = np.arange(400)
    for counted, enough in ((rows < 40, False), (rows < 200, True)):
        independent = 40 * counted.mean()
        found = share_among(np.ones(400, bool), counted, 40.0)
        assert found is not None
        assert found[:3] == pytest.approx((1.0, 0.025 ** (1 / independent), 1.0))
        assert found.enough is enough
    nearly = share_among(rows != 7, np.ones(400, bool), 40.0)
    assert nearly is not None and nearly.enough
    assert nearly.low == pytest.approx(beta.ppf(0.025, 39.9, 1.1))


def test_a_score_in_log_odds_has_the_same_reach_there_and_stays_a_score() -> None:
    found = Interval(0.8, 0.72, 0.88).as_odds()
    odds = [np.log(one / (1 - one)) for one in (found.low, found.value, found.high)]
    reach = 0.08 / (0.8 * 0.2)  # what the logarithm of odds changes by where the score does by 0.08
    assert np.diff(odds) == pytest.approx([reach, reach])
    assert 0 < found.low < 0.72 < found.value == 0.8 < found.high < 0.88
    for beyond in (Interval(0.8, 0.6, 1.0), Interval(0.1, 0.0, 0.2), Interval(0.5, 0.5, 0.5)):
        assert beyond.as_odds() == beyond, "as wide as all that there can be, or not at all"


def test_effective_size_of_an_ar1_series_is_what_theory_says() -> None:
    series = ar1(np.random.default_rng(2), 100_000, 0.8)
    assert effective_size(series) / 100_000 == pytest.approx((1 - 0.8) / (1 + 0.8), rel=0.1)
    free = np.random.default_rng(2).normal(size=50_000)
    assert effective_size(free) / 50_000 == pytest.approx(1, rel=0.05)
    assert effective_size(np.full(10, 0.1)) == 10 and effective_size(np.empty(0)) == 0


@given(st.integers(2, 60), st.floats(-0.9, 0.95), st.integers(0, 10**6))
def test_effective_size_is_that_of_the_sums_written_out(rows: int, keep: float, seed: int) -> None:
    """Of short series, too, whose ends must not meet: the direct sum over pairs of lags."""
    series = ar1(np.random.default_rng(seed), rows, keep)
    apart = series - series.mean()
    lags = [(apart[lag:] * apart[: rows - lag]).sum() for lag in range(rows)]
    total = -1.0
    for lag in range(0, rows - 1, 2):
        pair = (lags[lag] + lags[lag + 1]) / lags[0]
        if pair <= 0:
            break
        total += 2 * pair
    assert effective_size(series) == pytest.approx(rows / max(total, 1.0), rel=1e-6)


def test_effective_size_of_hourly_returns_agrees_with_the_uniqueness_of_their_labels() -> None:
    chosen = LabelSettings(horizon_minutes=60, buy_above=0.008, sell_below=-0.004)
    table = label(synthetic_bars(40_000, seed=1), chosen, 5)
    found = samples(table, 10, 1)
    returns = table["forward_return"].to_numpy()[found.row]
    independent = effective_rows(found.time_ms, found.label_end_ms)
    assert independent == pytest.approx(uniqueness(found).sum())
    assert effective_size(returns) == pytest.approx(independent, rel=0.25)


@given(st.integers(1, 12), st.sampled_from([0.2, 1.0, 2.0, 2.6, 5.0, 40.0]), st.integers(0, 10**6))
def test_replicates_are_the_means_of_rows_weighed_one_by_one(
    rows: int, effective: float, seed: int
) -> None:
    columns, lucky = np.random.default_rng(seed).random((2, rows, 3))
    found = replicates(columns, effective, lucky)
    weighed = list(weights(rows, effective))
    assert len(weighed) == 2 * min(terms(effective), rows - 1)
    assert found.waves.shape == (2, max(len(weighed) // 2, 1), 3)
    share = 1 / math.sqrt(effective)
    centre = (1 - share) * columns.mean(axis=0) + share * lucky.mean(axis=0)
    assert found.observed == pytest.approx(columns.mean(axis=0))
    assert found.centre == pytest.approx(centre) and found.luck is not None
    for side, number, weight in weighed:
        assert found.waves[side, number] == pytest.approx(weight @ columns / rows)
        luck = centre + share * (weight - 1) @ lucky / rows
        assert found.luck[side, number] == pytest.approx(luck)
    if not weighed:
        assert (found.waves == found.observed).all()
    blocks = list(left_out(rows, effective))
    assert len(blocks) == max(1, min(round(effective), rows))
    means = [np.average(columns, axis=0, weights=weight) for weight in blocks]
    assert found.without == pytest.approx(np.array(means))
    assert replicates(columns, effective).luck is None


@given(st.sampled_from([0.0, 0.3]), st.booleans(), st.integers(0, 10**6))
def test_an_interval_adds_what_rows_show_and_what_luck_and_the_unseen_may_hide(
    unseen: float, is_lucky: bool, seed: int
) -> None:
    columns, lucky = np.random.default_rng(seed).normal(size=(2, 90, 1)) ** 3
    score = replicates(columns, 35.0, lucky if is_lucky else None).at(0)
    found = interval(score, 35.0, unseen=unseen)
    waves = score.waves.shape[1]
    shown = 4 * ((score.waves - score.observed) ** 2).sum() / waves
    assert variance(score) == pytest.approx(shown)
    looks = 2 / (2 / waves + max(kurtosis(score.without), 0) / len(score.without))
    assert freedom(score) == pytest.approx(looks)
    assert half_width(score) == pytest.approx(t.ppf(0.975, looks) * math.sqrt(shown))
    hidden = unseen
    if score.luck is not None and score.centre is not None:
        hidden += 4 * ((score.luck - score.centre) ** 2).sum() / waves
    reach = math.sqrt((t.ppf(0.975, looks)) ** 2 * shown + norm.ppf(0.975) ** 2 * hidden)
    value = columns.mean()
    assert found[:4] == pytest.approx((value, value - reach, value + reach, True))


def test_a_loss_of_nothing_has_no_width() -> None:
    assert interval(replicates(np.zeros((60, 1)), 40.0).at(0), 40.0, LOSS) == (0, 0, 0, True, "")


@given(st.integers(5, 400), st.integers(0, 400))
def test_the_bounds_of_whole_rows_are_those_of_clopper_and_pearson(rows: int, hits: int) -> None:
    hits = min(hits, rows)
    found = exact(hits / rows, float(rows))
    low = beta.ppf(0.025, hits, rows - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, rows - hits) if hits < rows else 1.0
    assert found[:4] == pytest.approx((hits / rows, low, high, True))


def test_a_share_is_judged_from_the_fewest_rows_on_and_exactly_where_one_side_is_rare() -> None:
    least = FEWEST_COUNTED, FEWEST_ROWS
    for rows, effective in ((least[0], 99.0), (99.0, least[1])):
        assert share_of(0.5, 0.1, rows, effective).enough
    for rows, effective in ((np.nextafter(least[0], 0), 99.0), (99.0, np.nextafter(least[1], 0))):
        found = share_of(0.5, 0.1, float(rows), float(effective))
        assert found == exact(0.5, rows)._replace(enough=False)
    for value in (0.7 / 8, 1 - 0.7 / 8):
        found, centre = share_of(value, 0.05, 8.0, 40.0), (8 * value + 0.5) / 9
        odds, apart = math.log(value / (1 - value)), 0.05 / (centre * (1 - centre))
        ends = [1 / (1 + math.exp(-odds - side * apart)) for side in (-1, 1)]
        assert found[:4] == pytest.approx((value, *ends, True))
        rarer = value + math.copysign(0.001, value - 0.5)
        assert share_of(rarer, 0.05, 8.0, 40.0) == exact(rarer, 8.0)


def test_what_is_divided_by_nothing_is_nothing() -> None:
    assert quotient(np.array([1.0, 3.0, 1.0]), np.array([0.0, 4.0, 0.5])).tolist() == [0, 0.75, 2]


def test_an_interval_says_what_it_lacks_and_keeps_to_its_limits() -> None:
    found = Interval(0.5, -0.5, 1.5)
    assert found.lacks == "" and found._replace(why="no reason").lacks == ""
    assert found._replace(enough=False).lacks == "too few rows"
    assert found.within(0.0, 1.0) == (0.5, 0.0, 1.0, True, "")
    assert found.within(-1.0, 2.0) == found
    limited = found.limited(-1.0, 1.0, "no SELL")
    assert limited == (0.5, -1.0, 1.0, False, "no SELL") and limited.lacks == "no SELL"
    for value in (0.05, 0.1, 0.3, 0.9):
        assert Interval(value, value, value).as_odds() == Interval(value, value, value)
