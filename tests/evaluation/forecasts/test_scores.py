"""Scores of forecasts say what is known of simulated ones, with intervals that hold it."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from quantgod.evaluation.forecasts.by_date import Dates
from quantgod.evaluation.forecasts.claims import claims_skill
from quantgod.evaluation.forecasts.coverage import PIT_SHARES, pit_histogram, within
from quantgod.evaluation.forecasts.direction import direction
from quantgod.evaluation.forecasts.evaluate import (
    ForecastEvaluation,
    evaluate_forecasts,
    score_forecaster,
)
from quantgod.evaluation.forecasts.losses import absolute, squared
from quantgod.evaluation.forecasts.outcomes import Distribution, Outcomes, normal_walk
from quantgod.evaluation.forecasts.prices import price_scores, realised_price
from quantgod.served.candles.quantiles import pinball
from tests.evaluation.forecasts.matured import matured, normal


def test_a_forecaster_scores_what_its_construction_says() -> None:
    scores = score_forecaster(matured(1, 1, 4_000, foresight=0.3, clusters=0.5), "subject")
    assert scores.mse_skill["zero"].low < 0.09 < scores.mse_skill["zero"].high
    assert scores.mse_skill["drift"].value > scores.mse_skill["zero"].value > 0.05
    assert scores.pinball_skill["random_walk"].low > 0
    by_promise = {found.promised: found for found in scores.coverage}
    assert by_promise[0.8].raw.value < 0.7 < by_promise[0.8].issued.value
    assert scores.direction.gain.low > 0
    assert scores.direction.accuracy.value > scores.direction.base_rate
    assert (scores.rows, scores.dates, scores.independent) == (8_000, 4_000, 4_000)


def test_a_noisy_mean_loses_to_zero_and_claims_nothing_but_foresight_does() -> None:
    outcomes = [matured(2, steps, 1_500) for steps in (1, 7)]
    assert score_forecaster(outcomes[0], "subject").mse_skill["zero"].high < 0
    assert not any(one.is_made for one in claims_skill(outcomes, "subject"))
    seen = [matured(2, steps, 1_500, foresight=0.35) for steps in (1, 7)]
    assert all(one.is_made for one in claims_skill(seen, "subject"))
    few, many = (claims_skill(seen, "subject", looks)[0].skill for looks in (2, 2_000))
    assert many.low < few.low < few.value == many.value
    with pytest.raises(ValueError, match="2 looks at least expected, got 1"):
        claims_skill(seen, "subject", 1)


def test_thirty_days_ahead_of_one_and_a_half_years_prove_nothing() -> None:
    (claim,) = claims_skill([matured(3, 30, 468, foresight=0.9)], "subject")
    assert claim.skill.value > 0.5 and not claim.is_made
    assert claim.skill.lacks == "too few dates apart"


def test_skill_over_who_is_never_wrong_is_not_judged() -> None:
    found = Dates.of(np.arange(100), 1).skill(np.ones(100), np.zeros(100))
    assert found.value == 0 and found.lacks == "the other is never wrong"


@pytest.mark.long
@pytest.mark.parametrize("first", [0, 1_000])
def test_hardly_any_of_forty_experiments_on_twenty_null_series_claims_anything(first: int) -> None:
    claimed = []
    for start in range(first, first + 400, 20):
        series = [matured(seed, 1, 500, ("A",)) for seed in range(start, start + 20)]
        series += [matured(seed, 7, 500, ("A",)) for seed in range(start, start + 20)]
        claims = [claim for one in series for claim in claims_skill([one], "subject", 40)]
        claimed.append(any(claim.is_made for claim in claims))
    assert sum(claimed) <= 1


def test_a_coin_beside_its_double_adds_nothing_that_narrows_an_interval() -> None:
    one = matured(4, 1, 500, ("BTC",), foresight=0.3)
    double = replace(
        one, date=np.tile(one.date, 2), coin=np.repeat(["BTC", "ETH"], 500), y=np.tile(one.y, 2),
        sigma=np.tile(one.sigma, 2), close=np.tile(one.close, 2),
        forecasts={name: said.take(np.tile(np.arange(500), 2))
                   for name, said in one.forecasts.items()},
    )  # fmt: skip
    single, both = (score_forecaster(outcomes, "subject") for outcomes in (one, double))
    assert both.mse_skill["zero"][:3] == pytest.approx(single.mse_skill["zero"][:3])
    assert both.coverage[1].issued[:3] == pytest.approx(single.coverage[1].issued[:3])
    assert both.direction.gain[:3] == pytest.approx(single.direction.gain[:3])


def test_intervals_of_overlapping_horizons_hold_the_truth() -> None:
    held = 0
    for seed in range(200):
        rows = matured(seed, 7, 300, ("A", "B"))
        found = Dates.of(rows.date, 7).mean(rows.y)
        held += found.low <= 0 <= found.high
    assert held / 200 > 0.91


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30), st.floats(0.1, 3))
def test_pinball_loss_is_least_for_the_quantiles_that_hold_and_scales(
    values: list[float], wide: float
) -> None:
    y = np.array(values)
    said = normal(np.zeros(len(y)), 1.0)
    assert (pinball(y, said.quantiles) > 0).all() or (y == 0).any()
    scaled = pinball(wide * y, wide * said.quantiles)
    assert scaled == pytest.approx(wide * pinball(y, said.quantiles))
    assert pinball(y, np.repeat(y[:, None], 7, axis=1)) == pytest.approx(0)


def test_the_median_is_judged_by_absolute_errors_and_the_mean_by_squares() -> None:
    said = Distribution(np.full(2, 2.0), np.array([[-3.0, -2, -1, 0, 5, 6, 7]] * 2))
    y = np.array([1.0, -3.0])
    assert absolute(y, said).tolist() == [1, 3] and squared(y, said).tolist() == [1, 25]


def test_a_crps_is_about_twice_the_pinball_loss() -> None:
    y = np.random.default_rng(0).normal(size=20_000)
    crps = y * (2 * ndtr(y) - 1) + 2 * np.exp(-(y**2) / 2) / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi)
    found = 2 * pinball(y, normal_walk(len(y)).quantiles).mean()
    assert found == pytest.approx(crps.mean(), rel=0.25)


def test_outcomes_fall_between_quantiles_as_often_as_they_promise() -> None:
    y = np.random.default_rng(0).normal(size=100_000)
    said = normal_walk(len(y)).quantiles
    assert pit_histogram(y, said) == pytest.approx(PIT_SHARES, abs=0.005)
    assert within(y, said, 0.95).mean() == pytest.approx(0.95, abs=0.005)
    assert pit_histogram(np.array([-9.0, -9.0, 9.0]), said[:3])[[0, -1]] == pytest.approx(
        [2 / 3, 1 / 3]
    )
    assert within(said[:2, [0, 6]].ravel()[:2], said[:2], 0.95).all(), "ends belong to it"
    with pytest.raises(KeyError, match=r"0\.9"):
        within(y, said, 0.9)


def test_a_direction_is_held_against_the_one_that_came_more_often() -> None:
    dates = Dates.of(np.arange(500), 1)
    y = np.where(np.arange(500) % 5 < 3, 1.0, -1.0)
    always = direction(y, np.ones(500), dates)
    assert (always.accuracy.value, always.base_rate, always.gain.value) == (0.6, 0.6, 0)
    assert direction(y, np.zeros(500), dates) is None
    fallen = direction(-y, np.ones(500), dates)
    assert (fallen.accuracy.value, fallen.base_rate) == (0.4, 0.6)
    assert fallen.gain.value == pytest.approx(-0.2)
    half = direction(y, np.where(np.arange(500) < 250, y, 0.0), dates)
    assert half.accuracy.value == 1 and half.gain.value == pytest.approx(0.4)


def test_prices_are_scored_beside_the_price_that_stays() -> None:
    rows = matured(5, 1, 400, ("BTC",))
    assert realised_price(rows)[:-1] == pytest.approx(rows.close[1:])
    found = price_scores(rows, "random_walk")
    assert found.forecast == found.naive and found.naive.r2 > 0.9
    assert price_scores(rows, "subject").forecast.rmse > found.naive.rmse
    with pytest.raises(ValueError, match="one coin expected, got BTC, ETH"):
        price_scores(matured(), "subject")


def test_all_scores_of_all_horizons_survive_a_file() -> None:
    outcomes = [matured(6, steps, 800, clusters=0.5) for steps in (1, 7, 30)]
    found = evaluate_forecasts(outcomes, "subject")
    stored = json.loads(msgspec.json.encode(found))
    assert msgspec.convert(stored, ForecastEvaluation, strict=False) == found
    week = found.at(7)
    assert list(week.years) == [2019, 2020, 2021] and list(week.coins) == ["BTC", "ETH"]
    assert week.coins["BTC"].prices is not None and week.models["subject"].prices is None
    assert sum(part.rows for part in week.coin_years["ETH"].values()) == week.coins["ETH"].rows
    assert list(week.against) == ["random_walk", "drift"]
    assert week.against["random_walk"].pinball.difference < 0
    assert (week.confidence_set["subject"], week.first) == (1.0, "2019-04-14")
    with pytest.raises(ValueError, match="no horizon of 3 candles was scored; there are 1, 7, 30"):
        found.at(3)
    with pytest.raises(ValueError, match="a forecast of nobody at 1 candles expected"):
        evaluate_forecasts(outcomes, "nobody")


def bad(rows: Outcomes, **parts: object) -> Outcomes:
    return replace(rows, **parts)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"y": np.full(1200, np.nan)}, "has not passed yet"),
        ({"coin": np.ones(1200)}, "names of coins as text expected, got float64"),
        ({"sigma": np.ones(3)}, r"'sigma': \(3,\)"),
        ({"forecasts": {"x": Distribution(np.zeros(1200), np.zeros((1200, 3)))}}, "x: quantiles"),
        (
            {"forecasts": {"x": Distribution(np.zeros(1200), -normal_walk(1200).quantiles)}},
            "must not fall",
        ),
        (
            {"forecasts": {"x": Distribution(np.full(1200, np.inf), np.zeros((1200, 7)))}},
            "NaN or infinity",
        ),
    ],
)
def test_outcomes_that_cannot_be_scored_are_refused(parts: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        bad(matured(), **parts)
