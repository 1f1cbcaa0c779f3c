"""Fit a jump model: the cheapest path, centroids with names, and training rows alone."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from quantgod.dataset.candles.regimes import fit_jump_model, paths, regimes_of
from quantgod.served.candles.jump_model import JumpModel
from quantgod.served.candles.regime_rules import PAST, Rules
from quantgod.settings.regimes import RegimeSettings
from tests.served.candles.planted import planted

CLOSE = planted(seed=2, segments=8)[0]


@pytest.mark.parametrize("penalty", [0.0, 0.3, 5.0])
def test_a_path_is_the_cheapest_of_all(penalty):
    costs = np.random.default_rng(0).exponential(1, (3, 6, 4))
    begins = np.array([True, False, False, True, False, False])
    placed, cost = paths(costs, begins, penalty)
    fares = np.where(begins, 0, penalty)[1:]
    for start in range(3):

        def price(path, start=start):
            jumps = np.diff(path) != 0
            return costs[start, np.arange(6), path].sum() + fares[jumps].sum()

        cheapest = min(price(path) for path in product(range(4), repeat=6))
        assert price(placed[start]) == pytest.approx(cheapest) == pytest.approx(cost[start])


def test_centroids_have_the_names_that_fit_them():
    model = fit_jump_model([CLOSE], 10.0, starts=2)
    trending, reverting, volatile, ranging = model.centroids * model.scale + model.center
    assert volatile[0] == max(trending[0], reverting[0], volatile[0], ranging[0])
    assert trending[1] > max(reverting[1], ranging[1])
    assert reverting[2] < ranging[2]


def test_the_same_seed_gives_the_same_model():
    one, other = (fit_jump_model([CLOSE], 10.0, starts=2, seed=4).to_json() for _ in range(2))
    assert one == other


def test_stretches_are_fitted_together_and_short_ones_left_out():
    half = len(CLOSE) // 2
    parts = [CLOSE[:half], CLOSE[half:], CLOSE[: PAST - 1]]
    together = fit_jump_model(parts, 10.0, starts=2)
    assert together.to_json() == fit_jump_model(parts[:2], 10.0, starts=2).to_json()
    assert together.to_json() != fit_jump_model(parts[:1], 10.0, starts=2).to_json()


@pytest.mark.parametrize("closes", [[], [CLOSE[: PAST + 2]], [np.full(PAST + 50, 7.0)]])
def test_too_few_rows_or_none_that_move_are_refused(closes):
    with pytest.raises(ValueError, match="stretch of training closes needs 200 rows"):
        fit_jump_model(closes, 10.0)


def test_a_setting_says_which_kind_is_used():
    rules = regimes_of(RegimeSettings(trending_from=0.5), [CLOSE])
    assert rules == Rules(trending_from=0.5)
    jumps = regimes_of(RegimeSettings(kind="jump", penalty=3.0, starts=1), [CLOSE])
    assert isinstance(jumps, JumpModel)
    assert jumps.penalty == 3.0
    with pytest.raises(ValueError, match=r"trending_from 0\.1 must be at or above trending_until"):
        RegimeSettings(trending_from=0.1)
