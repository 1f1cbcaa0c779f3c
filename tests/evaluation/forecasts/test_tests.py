"""Tests between forecasters agree with those of other packages, and keep their size."""

from __future__ import annotations

import numpy as np
import pytest
from dieboldmariano import dm_test

from quantgod.evaluation.forecasts.confidence_set import SIZE, model_confidence_set
from quantgod.evaluation.forecasts.diebold_mariano import diebold_mariano, wide_lag
from tests.evaluation.forecasts.matured import overlapping


@pytest.mark.parametrize(("dates", "steps"), [(60, 1), (90, 5), (200, 30)])
def test_diebold_mariano_is_that_of_another_package(dates: int, steps: int) -> None:
    rng = np.random.default_rng(dates)
    came, one, other = rng.normal(size=(3, dates))
    one, other = 0.5 * one + 0.5 * came, 0.6 * other
    found = diebold_mariano((came - one) ** 2 - (came - other) ** 2, steps, steps - 1)
    expected = dm_test(came, one, other, h=steps, variance_estimator="bartlett")
    assert (found.statistic, found.p_value) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("steps", [1, 7])
def test_diebold_mariano_rejects_equal_forecasters_hardly_more_often_than_it_says(
    steps: int,
) -> None:
    rng, dates, runs = np.random.default_rng(steps), 400, 400
    came = overlapping(rng.normal(size=(dates + steps - 1, runs)), steps)
    noise = 0.2 * overlapping(rng.normal(size=(dates + steps - 1, runs)), steps)
    apart = (came - noise) ** 2 - (came + noise) ** 2
    narrow, wide = (
        np.mean([diebold_mariano(one, steps, lag).p_value < 0.05 for one in apart.T])
        for lag in (steps - 1, None)
    )
    assert 0.02 < wide < 0.09
    assert steps == 1 or narrow > wide


def test_diebold_mariano_of_twins_says_that_they_are_equal_and_a_short_lag_is_refused() -> None:
    assert diebold_mariano(np.zeros(50), 1).p_value == 1
    with pytest.raises(ValueError, match="a lag from 6 on and more dates than lag"):
        diebold_mariano(np.ones(50), 7, 3)
    assert wide_lag(468, 1) == 5 and wide_lag(468, 30) == 92 and wide_lag(60, 30) == 29


def test_the_confidence_set_leaves_out_who_is_clearly_worse_and_keeps_twins() -> None:
    rng = np.random.default_rng(1)
    best = rng.exponential(size=400)
    losses = {"a": best, "worse": best + rng.exponential(0.3, size=400), "twin": best.copy()}
    found = model_confidence_set(losses, 7)
    assert found["a"] == found["twin"] == 1 and found["worse"] < SIZE
    assert model_confidence_set(losses, 7) == found, "seeded"
    assert model_confidence_set({"a": best, "twin": best}, 7) == {"a": 1, "twin": 1}
    with pytest.raises(ValueError, match="three blocks of 200 dates"):
        model_confidence_set(losses, 200)
