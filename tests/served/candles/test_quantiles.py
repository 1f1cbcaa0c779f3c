from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

from quantgod.served.candles.conformal import LEAST_WIDTH, corrected, level_scores, moves_of, rising
from quantgod.served.candles.quantiles import (
    LEVELS,
    MEDIAN,
    NORMAL,
    pinball,
    prices,
    up_probability,
)
from quantgod.served.candles.width import ROWS, sigma

numbers = st.floats(-5, 5, allow_subnormal=False)


def test_levels_of_the_normal_distribution_are_those_of_scipy():
    assert np.allclose(NORMAL, norm.ppf(LEVELS), atol=1e-14)


def test_the_pinball_loss_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    came, said = draw.normal(size=50), np.sort(draw.normal(size=(50, len(LEVELS))))
    each = [mean_pinball_loss(came, said[:, k], alpha=level) for k, level in enumerate(LEVELS)]
    assert pinball(came, said).mean() == pytest.approx(np.mean(each))


@given(arrays(np.float64, (3, len(LEVELS)), elements=numbers))
def test_quantiles_that_rise_keep_the_median_and_never_cross(said):
    found = rising(said)
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found[:, MEDIAN] == said[:, MEDIAN]).all()
    assert np.array_equal(rising(found), found)


@given(arrays(np.float64, len(LEVELS), elements=numbers, unique=True))
def test_the_probability_of_up_is_between_what_the_quantiles_leave_open(said):
    said = np.sort(said)
    (up,) = up_probability(said[None])
    below = [level for level, value in zip(LEVELS, said, strict=True) if value < 0]
    above = [level for level, value in zip(LEVELS, said, strict=True) if value > 0]
    assert 1 - (min(above) if above else 1.0) <= up <= 1 - (max(below) if below else 0.0)
    assert up_probability(-said[::-1][None])[0] == pytest.approx(1 - up)


def test_prices_are_what_scaled_returns_come_to():
    close, spread = np.array([100.0]), np.array([0.02])
    found = prices(close, spread, 4, np.array([[0.0, 1.0]]))
    assert found.tolist() == [[100.0, pytest.approx(100 * np.exp(0.04))]]


def test_the_width_is_that_of_past_returns_alone_and_tells_stormy_from_calm():
    draw = np.random.default_rng(2)
    close = np.exp(np.cumsum(np.r_[0.01 * draw.normal(size=300), 0.05 * draw.normal(size=300)]))
    found = sigma(close)
    assert np.isnan(found[:ROWS]).all() and np.isfinite(found[ROWS:]).all()
    assert found[250:300].mean() == pytest.approx(0.01, rel=0.3)
    assert found[550:].mean() == pytest.approx(0.05, rel=0.3)
    assert np.array_equal(sigma(close[:400]), found[:400], equal_nan=True)
    assert np.array_equal(sigma(close[100:])[ROWS:], found[100 + ROWS :]), "any start, same bits"
    assert (sigma(np.ones(200))[ROWS:] > 0).all()


def test_corrections_of_a_level_are_its_own_scores_quantiles():
    draw = np.random.default_rng(4)
    said = np.tile(NORMAL, (5000, 1))
    came = 1.5 * draw.normal(size=5000) + 0.3
    moved = corrected(said, moves_of(level_scores(came, said), 1.0))
    shares = (came[:, None] <= moved).mean(axis=0)
    assert np.allclose(shares, LEVELS, atol=0.002)
    half = corrected(said, moves_of(level_scores(came, said), 0.5))
    assert np.allclose(half, (said + moved) / 2)


def test_quantiles_without_width_are_still_corrected():
    said = np.zeros((200, len(LEVELS)))
    came = np.linspace(-1, 1, 200)
    moved = corrected(said, moves_of(level_scores(came, said), 1.0))
    assert np.ptp(moved[0]) == pytest.approx(1.9, abs=0.05)
    assert LEAST_WIDTH > 0
