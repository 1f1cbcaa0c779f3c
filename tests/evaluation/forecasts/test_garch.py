"""The floor of the width knows the past alone, and holds what comes where GARCH is true."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from arch import arch_model

from quantgod.evaluation.forecasts.coverage import PIT_SHARES, pit_histogram
from quantgod.evaluation.forecasts.garch import (
    Garch,
    filtered,
    fit,
    garch_floor,
    summed,
)
from quantgod.served.candles.quantiles import NORMAL

TRUE = Garch(0.2, 0.12, 0.85, 6.0, 6.0)
TRAIN, ROWS = 1_500, 4_000
IS_TRAIN = np.arange(ROWS) < TRAIN
HORIZONS = (1, 7, 30)


@cache
def returns(seed: int = 0) -> np.ndarray:
    rng, variance, found = np.random.default_rng(seed), TRUE.first, []
    for shock in rng.standard_t(TRUE.nu, ROWS) * np.sqrt((TRUE.nu - 2) / TRUE.nu):
        found.append(np.sqrt(variance) * shock)
        variance = TRUE.omega + TRUE.alpha * found[-1] ** 2 + TRUE.beta * variance
    return np.array(found) / 100


@cache
def floor() -> np.ndarray:
    return garch_floor(returns(), IS_TRAIN, HORIZONS)


@pytest.mark.parametrize("place", [0, 1])
def test_what_comes_lies_between_its_quantiles_as_often_as_promised(place: int) -> None:
    steps, total = HORIZONS[place], np.cumsum(np.r_[0, returns()])
    came = total[1 + steps :] - total[1:-steps]
    found = pit_histogram(came, floor()[:-steps, place])
    assert found == pytest.approx(PIT_SHARES, abs=0.035)
    assert floor()[:, place] == pytest.approx(-floor()[:, place, ::-1]), "neither up nor down"


def test_the_future_changes_nothing_and_what_was_not_trained_on_no_parameter() -> None:
    changed = returns().copy()
    changed[TRAIN + 100 :] *= -3
    found = garch_floor(changed, IS_TRAIN, HORIZONS)
    assert (found[: TRAIN + 100] == floor()[: TRAIN + 100]).all()
    assert (found[TRAIN + 100] != floor()[TRAIN + 100]).any()


def test_its_filter_and_its_sums_are_those_of_arch() -> None:
    model = fit(returns()[:TRAIN] * 100)
    given = arch_model(returns() * 100, mean="Zero", vol="GARCH", p=1, q=1, dist="t")
    names = ("omega", "alpha", "beta", "nu")
    fixed = given.fix([getattr(model, name) for name in names])
    ahead = filtered(returns() * 100, model)
    # Both forget their first variance.
    assert ahead[500:-1] == pytest.approx(fixed.conditional_volatility[501:] ** 2, rel=1e-6)
    expected = fixed.forecast(horizon=30, start=ROWS - 1, reindex=False).variance.to_numpy().sum()
    assert summed(ahead[-1:], 30, model) == pytest.approx(expected, rel=1e-6)


def test_a_hole_leaves_the_expected_variance_and_too_short_a_past_is_refused() -> None:
    holed = np.array([0.01, np.nan, 0.01])
    model = Garch(0.2, 0.1, 0.8, 6.0, 3.0)
    ahead = filtered(holed * 100, model)
    assert ahead[1] == pytest.approx(0.2 + 0.9 * ahead[0])
    with pytest.raises(ValueError, match="or more that differ expected, got 300 returns"):
        garch_floor(np.ones(500), np.arange(500) < 300, (1,))
    with pytest.raises(ValueError, match="or more that differ expected, got 3 returns"):
        garch_floor(np.ones(5), np.arange(5) < 3, (1,))
    with pytest.raises(ValueError, match="rows from 5 on"):
        garch_floor(returns(), np.arange(ROWS) >= 5, (1,))


@pytest.mark.parametrize("deviation", [1e-4, 0.5])
def test_returns_of_any_size_without_clusters_have_normal_quantiles(deviation: float) -> None:
    normal = np.random.default_rng(1).normal(0, deviation, 600)
    found = garch_floor(normal, np.arange(600) < 300, (1, 7))
    usual = np.median(found[300:], axis=0) / deviation
    assert usual[0] == pytest.approx(NORMAL, abs=0.2)
    assert usual[1] == pytest.approx(np.sqrt(7) * NORMAL, abs=0.5)
