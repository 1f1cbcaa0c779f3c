"""TA-Lib as the judge of the formulas, where the oldest prices weigh as much as the newest."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from quantgod.served import technical
from quantgod.served.rolling import MEMORY, trend
from tests.served.features.markets import columns


@pytest.fixture(scope="module")
def fallen():
    """Prices that fell so far that the oldest weigh as much as the newest in every average."""
    scale = 1.085 ** np.arange(MEMORY)[::-1]
    drawn = columns(MEMORY, seed=7, volatility=0.02)
    return tuple(drawn[name] * scale for name in ("high", "low", "close"))


def test_averages_begin_as_those_of_talib_do(fallen):
    high, low, close = fallen
    line, signal = technical.macd_weights()
    theirs = talib.MACD(close, 12, 26, 9)
    assert line @ close == pytest.approx(theirs[0][-1], rel=1e-9)
    assert signal @ close == pytest.approx(theirs[1][-1], rel=1e-9)
    double, triple = technical.nested_averages()
    assert double @ close == pytest.approx(talib.DEMA(close, 20)[-1], rel=1e-9)
    threefold = [row @ close for row in triple[-2:]]
    assert threefold[1] / threefold[0] - 1 == pytest.approx(
        talib.TRIX(close, 15)[-1] / 100, rel=1e-9
    )
    plus, minus = technical.directional(high, low, close, 14)
    assert plus[-1] == pytest.approx(talib.PLUS_DI(high, low, close, 14)[-1], rel=1e-9)
    assert minus[-1] == pytest.approx(talib.MINUS_DI(high, low, close, 14)[-1], rel=1e-9)
    assert technical.kama(close)[-1] == pytest.approx(talib.KAMA(close, 10)[-1], rel=1e-9)


def test_a_typical_price_is_the_mean_of_three():
    assert technical.typical(*(np.array([value]) for value in (5.0, 1.0, 3.0))).tolist() == [3.0]


def test_a_slope_of_a_running_sum_asks_for_the_steps_within_its_window():
    steps = np.random.default_rng(1).normal(size=20)
    weights = technical.on_steps(trend(20))
    assert len(weights) == 19
    slope = np.polyfit(range(20), np.cumsum(steps), 1)[0]
    assert weights @ steps[1:] == pytest.approx(slope)


def test_an_adaptive_average_begins_with_the_tenth_close_and_forgets_it_slowly():
    close = 100 + np.resize([1.0, -1.0], MEMORY)
    close[9] = 150
    expected = talib.KAMA(close, 10)[-1]
    assert technical.kama(close)[-1] == pytest.approx(expected, rel=1e-12)
    assert expected > 110
