import numpy as np
import pytest

from quantgod.market.price_path import Bars, path_along, random_path

VOLATILITY = 0.0009


def _hourly(log_price):
    return log_price[60:] - log_price[:-60]


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.6, 1.0])
def test_volatility_is_that_of_a_one_minute_return_at_any_signal(signal):
    path = random_path(50_000, seed=3, price=60_000, volatility=VOLATILITY, signal=signal)
    returns = np.diff(np.log(path.knots[:, -1]))
    np.testing.assert_allclose(path.knots[1:, 0], path.knots[:-1, -1])
    assert returns.std() == pytest.approx(VOLATILITY, rel=0.02)


@pytest.mark.parametrize("signal", [0.0, 0.3, 0.6])
def test_the_lean_explains_its_share_of_the_hour_after_it_and_not_more(signal):
    path = random_path(200_000, seed=5, price=60_000, volatility=VOLATILITY, signal=signal)
    ahead = _hourly(np.log(path.knots[:, -1]))
    share = np.corrcoef(np.arctanh(path.lean[: len(ahead)]), ahead)[0, 1] ** 2
    # The lean shows the state with a tenth of noise in its variance: 0.36 / (0.36 + 0.04).
    assert share == pytest.approx(0.82 * 0.9 * signal, abs=0.03)


def test_a_path_along_bars_keeps_every_open_close_high_and_low():
    rng = np.random.default_rng(0)
    closes = 13_000 * np.exp(np.cumsum(rng.normal(0, 0.001, 500)))
    opens = np.concatenate([[13_000], closes[:-1]]) * np.exp(rng.normal(0, 1e-4, 500))
    highs = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, 5e-4, 500)))
    lows = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, 5e-4, 500)))
    path = path_along(Bars(opens, closes, highs, lows), 440, seed=1, signal=0.5)
    minutes = path.knots
    np.testing.assert_allclose(minutes[:, 0], opens[:440])
    np.testing.assert_allclose(minutes[:, -2], closes[:440])
    np.testing.assert_allclose(minutes[:, -1], closes[:440])
    np.testing.assert_allclose(minutes.max(axis=1), highs[:440])
    np.testing.assert_allclose(minutes.min(axis=1), lows[:440])


@pytest.mark.parametrize(("signal", "lowest", "highest"), [(0.0, 0.0, 0.15), (1.0, 0.9, 1.0)])
def test_on_given_prices_the_signal_is_foresight_of_the_next_hour(signal, lowest, highest):
    closes = 13_000 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.001, 3_000)))
    flat = Bars(closes, closes, closes, closes)
    path = path_along(flat, 2_900, seed=1, signal=signal)
    ahead = _hourly(np.log(closes))[:2_900]
    assert lowest <= abs(np.corrcoef(np.arctanh(path.lean), ahead)[0, 1]) <= highest
