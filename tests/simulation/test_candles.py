"""Simulated candles are candles, are the same for a seed, and show what is planted alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.contracts import Candles, Floats
from quantgod.settings import CandleSettings, CandleSimulation
from quantgod.simulation.candles import SPAN, simulate_candles

NULL = {"momentum": 0.0, "clusters": 0.0, "regimes": 0.0}
STRENGTH = st.floats(0, 1)


def made(symbol: str = "AAAUSDT", seed: int = 7, **how: object) -> Candles:
    simulation = CandleSimulation.model_validate(NULL | how)
    return simulate_candles(CandleSettings(simulate=simulation), symbol, seed)


def returns(candles: Candles) -> Floats:
    return np.diff(np.log(candles.column("close")))


def correlation(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


@given(
    STRENGTH, STRENGTH, STRENGTH, st.floats(0, 0.99), st.none() | st.floats(2.1, 30),
    st.sampled_from(["1m", "4h", "1d"]), st.integers(2, 80), st.integers(0, 2**40),
)  # fmt: skip
def test_any_simulation_gives_candles_and_begins_with_a_shorter_one(
    momentum: float, clusters: float, regimes: float, common: float, tails: float | None,
    interval: str, count: int, seed: int,
) -> None:  # fmt: skip
    how = CandleSimulation(
        candles=count, momentum=momentum, clusters=clusters, regimes=regimes, common=common,
        tails=tails,
    )  # fmt: skip
    settings = CandleSettings(interval=interval, simulate=how)
    one = simulate_candles(settings, "AAAUSDT", seed)
    opened, high, low, close, volume, quote, trades, taker = one.values.T
    assert np.isfinite(one.values).all() and (one.values > 0).all() and not one.stretch.any()
    assert (low <= np.minimum(opened, close)).all() and (np.maximum(opened, close) <= high).all()
    assert ((low * volume <= quote) & (quote <= high * volume) & (taker < volume)).all()
    assert (trades == np.rint(trades)).all()
    half = settings.model_copy(update={"simulate": how.model_copy(update={"candles": count // 2})})
    shorter = simulate_candles(half, "AAAUSDT", seed)
    assert shorter.time_ms.tolist() == one.time_ms[: count // 2].tolist()
    np.testing.assert_allclose(shorter.values, one.values[: count // 2], rtol=1e-12)
    again = simulate_candles(settings, "AAAUSDT", seed)
    assert again.values.tobytes() == one.values.tobytes()
    for other in (simulate_candles(settings, "BBBUSDT", seed), made(seed=seed + 1, candles=count)):
        assert not np.isclose(other.values, one.values).all()


@pytest.mark.parametrize("tails", [None, 5.0])
def test_without_structure_neither_returns_nor_sizes_tell_of_those_to_come(
    tails: float | None,
) -> None:
    one = made(candles=20_000, tails=tails)
    moves = returns(one)
    assert moves.std() == pytest.approx(0.03, rel=0.05)
    log_range = np.log(np.log(one.column("high") / one.column("low")))[1:]
    for told in (moves, np.abs(moves), log_range, np.log(one.column("volume"))[1:]):
        for lag in (1, 2, 5, 20):
            assert abs(correlation(told[:-lag], moves[lag:])) < 0.03
            assert abs(correlation(told[:-lag], np.abs(moves[lag:]))) < 0.03


def test_each_structure_shows_where_it_should_and_nowhere_else() -> None:
    def lean(**how: object) -> float:
        moves = returns(made(candles=20_000, **how))
        sums = np.convolve(moves, np.ones(SPAN), "valid")[:-1]
        return correlation(sums, moves[SPAN:])

    def clustering(**how: object) -> float:
        one = made(candles=20_000, **how)
        sizes = np.log(np.log(one.column("high") / one.column("low")))
        return correlation(sizes[:-1], sizes[1:])

    assert lean(momentum=1.0) > 0.2 > lean(momentum=0.5) > 0.1
    assert abs(lean(clusters=1.0)) < 0.05 and abs(clustering(momentum=1.0)) < 0.05
    assert clustering(clusters=1.0) > 0.3 > clustering(clusters=0.5) > 0.1
    assert clustering(regimes=1.0) > 0.2
    states = returns(made(candles=20_000, regimes=1.0)) / 0.03
    after = states[SPAN:] * np.convolve(states, np.ones(SPAN), "valid")[:-1]
    weeks = after[: len(after) // 50 * 50].reshape(-1, 50).mean(axis=1)
    null = returns(made(candles=20_000)) / 0.03
    of_null = null[SPAN:] * np.convolve(null, np.ones(SPAN), "valid")[:-1]
    calm = of_null[: len(of_null) // 50 * 50].reshape(-1, 50).mean(axis=1)
    assert weeks.std() > 1.5 * calm.std(), "weeks of a trend, and weeks that go back"


def test_coins_share_what_is_asked_for() -> None:
    for common in (0.0, 0.8):
        one, other = (
            returns(made(symbol, candles=20_000, common=common, tails=None, clusters=0.5))
            for symbol in ("AAAUSDT", "BBBUSDT")
        )
        assert correlation(one, other) == pytest.approx(common, abs=0.06)
        sizes = correlation(np.abs(one), np.abs(other))
        assert sizes > 0.4 if common else abs(sizes) < 0.03


def ewma(moves: Floats) -> Floats:
    variance = np.empty(len(moves))
    value = float(np.mean(moves[:60] ** 2))
    for t, move in enumerate(moves):
        value = 0.94 * value + 0.06 * move**2
        variance[t] = value
    return np.sqrt(variance)


@pytest.mark.parametrize("steps", [1, 7, 30])
def test_the_width_of_what_comes_is_told_better_than_by_an_average(steps: int) -> None:
    """A line through past ranges, fitted on the first four fifths, against EWMA's width."""
    levels = np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])

    def loss(told: Floats, width: Floats, of: slice, shape: Floats) -> float:
        beyond = told[of, None] - width[of, None] * shape
        return float(np.maximum(levels * beyond, (levels - 1) * beyond).mean())

    skills = []
    for seed in range(3):
        one = made(candles=6000, clusters=1.0, seed=seed)
        moves = returns(one)
        sums = np.append(0, np.cumsum(moves))
        sigma, at = ewma(moves), np.arange(200, len(moves) - steps)
        told = (sums[at + steps + 1] - sums[at + 1]) / np.sqrt(steps)
        ranges = np.log(one.column("high") / one.column("low"))[1:] ** 2
        spans = [np.convolve(ranges, np.ones(w) / w)[at] for w in (1, 3, 7, 22, 60)]
        columns = np.column_stack([*np.log(spans), np.log(sigma[at]), np.ones(len(at))])
        train, test = slice(0, 4500), slice(4600, None)
        line = np.linalg.lstsq(columns[train], np.log(np.abs(told[train]) + 1e-3))[0]
        losses = [
            loss(told, width, test, np.quantile(told[train] / width[train], levels))
            for width in (np.exp(columns @ line), sigma[at])
        ]
        skills.append(1 - losses[0] / losses[1])
    assert np.mean(skills) > 0.02
