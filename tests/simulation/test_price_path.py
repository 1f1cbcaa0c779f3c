import numpy as np
import pytest

from quantgod.simulation.price_path import Bars, Latent, path_along, random_path

VOLATILITY = 0.0009
KNOWN = (58128.98912562956, 59390.55250625196, -0.738807014484433, -0.23767485331611568)


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


@pytest.mark.parametrize(("close", "low_is_first"), [(100.5, True), (100.0, True), (99.5, False)])
def test_a_falling_minute_sees_its_high_first_and_any_other_its_low(close, low_is_first):
    """Each in its own half of the minute, on any knot but the open and the two of the close."""
    minutes = 300
    bars = Bars(*(np.full(minutes, price) for price in (100.0, close, 102.0, 98.0)))
    knots = path_along(bars, minutes, seed=1, signal=0.0).knots
    low, high = knots.argmin(axis=1), knots.argmax(axis=1)
    first, second = (low, high) if low_is_first else (high, low)
    assert {*first} == {*range(1, 6)}
    assert {*second} == {*range(6, 11)}


def test_the_hour_after_the_last_bar_is_flat():
    closes = 13_000 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.001, 90)))
    bars, sure = Bars(closes, closes, closes, closes), Latent(lean_noise=0.0)
    log_price = np.log(np.concatenate([closes, np.full(60, closes[-1])]))
    for minutes in (80, 90):
        path = path_along(bars, minutes, seed=1, signal=1.0, latent=sure)
        ahead = _hourly(log_price)[:minutes]
        foresight = (ahead - ahead.mean()) / ahead.std()
        np.testing.assert_allclose(np.arctanh(path.lean), 0.6 * foresight)


@pytest.mark.parametrize("minutes", [1, 7])
@pytest.mark.parametrize("signal", [0.0, 0.5, 1.0])
def test_of_prices_that_stand_still_there_is_nothing_to_foresee(signal, minutes):
    def along(signal):
        still, sure = np.full(minutes, 13_000.0), Latent(lean_noise=0.0)
        return path_along(Bars(*[still] * 4), minutes, seed=1, signal=signal, latent=sure)

    assert (along(signal).knots == 13_000).all()
    state = np.arctanh(along(0.0).lean)
    assert (state != 0).all()
    np.testing.assert_allclose(np.arctanh(along(signal).lean), np.sqrt(1 - signal) * state)


def _path(minutes, *, signal=0.5, **latent):
    return random_path(
        minutes, seed=7, price=60_000, volatility=VOLATILITY, signal=signal, latent=Latent(**latent)
    )


def test_a_path_is_the_one_that_its_seed_has_always_given():
    path = _path(300)
    found = [path.knots[299, -1], path.knots[150, 5], path.lean[299], path.lean[0]]
    np.testing.assert_allclose(found, KNOWN, rtol=1e-12)


def _weighed(path):
    """Two figures that every knot and every lean of a path has a part in."""
    knots, lean = np.log(path.knots).ravel(), path.lean
    return [values @ (1 + np.arange(values.size) % 97) / values.size for values in (knots, lean)]


SETTINGS = {  # signal, half-life, noise, lead: the figures of its path, and of that along bars
    (0.5, 120.0, 0.2, 0): (531.36272248, -12.7637095131, 531.968506997, -0.0216309116361),
    (0.0, 120.0, 0.2, 0): (531.538602088, -12.7637095131, 532.131446323, 12.2564901109),
    (0.9, 15.0, 2.0, 0): (531.311283516, 1.19502140396, 531.894348075, -6.46679886219),
    (1.0, 40.0, 0.0, 7): (531.339186674, -8.21360501346, 531.913857227, 7.76059512651),
}


@pytest.mark.parametrize("given", SETTINGS)
def test_every_knot_and_lean_of_a_seed_is_what_it_has_always_been(given):
    """They come from numpy's normal draws: who changes how they are drawn makes another market."""
    signal, latent = given[0], Latent(*given[1:])
    drawn = random_path(
        130, seed=7, price=60_000, volatility=VOLATILITY, signal=signal, latent=latent
    )
    closes, opens = drawn.knots[:, -1], drawn.knots[:, 0]
    bars = Bars(opens, closes, np.maximum(opens, closes) + 9, np.minimum(opens, closes) - 9)
    along = path_along(bars, 110, seed=7, signal=signal, latent=latent)
    assert (drawn.knots.shape, along.knots.shape) == ((130, 13), (110, 13))
    found = [*_weighed(drawn), *_weighed(along)]
    np.testing.assert_allclose(found, SETTINGS[given], rtol=1e-9)


def _hourly_sum_variance(half_life):
    """Of sixty values in a row whose correlation halves with each half-life: all their pairs."""
    return sum(0.5 ** (abs(i - j) / half_life) for i in range(60) for j in range(60))


@pytest.mark.parametrize("half_life", [0.01, 5.0, 120.0])
@pytest.mark.parametrize("signal", np.linspace(0.0, 1.0, 21))
def test_any_signal_and_memory_give_a_path(signal, half_life):
    path = _path(50, signal=signal, half_life_minutes=half_life, lean_noise=0.0)
    assert np.isfinite(path.knots).all()
    if signal == 1.0:
        state = np.arctanh(path.lean) / 0.6
        part = VOLATILITY * np.sqrt(60 / _hourly_sum_variance(half_life))
        steps = np.diff(np.log(path.knots[:, -1])) - part * state[:-1]
        rest = np.sqrt(VOLATILITY**2 - part**2)  # of the transients, and nothing of a walk
        assert steps.std() <= 2 * rest + 1e-12
        assert steps.sum() == pytest.approx(0.0, abs=5 * rest + 1e-12)


def _shown(lean, ahead):
    """What share of the next hour one minute's lean tells, and what the mean of sixty does."""
    shown = np.arctanh(np.clip(lean, -1 + 1e-9, 1 - 1e-9))
    hour = np.convolve(shown, np.ones(60) / 60)[59 : len(ahead)]
    return tuple(
        np.corrcoef(seen, ahead[59:])[0, 1] ** 2 for seen in (shown[59 : len(ahead)], hour)
    )


def test_a_noisy_lean_hides_the_state_from_a_minute_and_shows_it_to_an_hour():
    path = _path(200_000, signal=0.9, lean_noise=2.0)
    minute, hour = _shown(path.lean, _hourly(np.log(path.knots[:, -1])))
    assert minute < 0.1
    assert hour > 4 * minute


def test_a_lean_that_leads_shows_what_is_to_come_better_than_one_that_does_not():
    together, ahead = (
        _shown(path.lean, _hourly(np.log(path.knots[:, -1])))[1]
        for path in (_path(200_000, signal=0.9, lead_minutes=lead) for lead in (0, 60))
    )
    # An hour of a leading lean is the very hour that the price follows next.
    assert ahead > 0.85 * 0.9
    assert ahead > together + 0.1


@pytest.mark.parametrize("half_life", [15.0, 120.0])
def test_half_of_the_state_is_forgotten_after_its_half_life(half_life):
    state = np.arctanh(_path(200_000, half_life_minutes=half_life, lean_noise=0.0).lean)
    later = round(half_life)
    assert np.corrcoef(state[:-later], state[later:])[0, 1] == pytest.approx(0.5, abs=0.05)


def test_the_state_keeps_its_share_of_an_hour_at_any_half_life_and_lead():
    for half_life, lead in ((15.0, 0), (15.0, 15), (120.0, 60)):
        path = _path(200_000, signal=1.0, half_life_minutes=half_life, lead_minutes=lead)
        hours = _hourly(np.log(path.knots[:, -1]))
        assert hours.std() == pytest.approx(VOLATILITY * 60**0.5, rel=0.04)
