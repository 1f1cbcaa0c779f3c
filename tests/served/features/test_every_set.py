"""What holds of every feature set."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.served.features.markets import SETS, columns, stretch

ROWS = 1_200
MARKET = columns(ROWS)


@cache
def whole(name):
    """What a set says of all rows."""
    return SETS[name].compute(MARKET)


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=15)
@given(st.data())
def test_a_row_has_the_same_bits_whatever_stands_before_its_reach(name, data):
    one = SETS[name]
    first = data.draw(st.integers(0, ROWS - one.REACH), label="first row given")
    last = data.draw(st.integers(first + one.REACH, ROWS), label="end of the rows given")
    part = one.compute(stretch(MARKET, first, last))[one.REACH - 1 :]
    assert part.tobytes() == whole(name)[first + one.REACH - 1 : last].tobytes()


@pytest.mark.parametrize("name", SETS)
def test_what_comes_before_the_reach_changes_nothing(name):
    one = SETS[name]
    other = columns(ROWS, seed=9)
    mixed = {key: np.concatenate([other[key][:600], MARKET[key][600:]]) for key in MARKET}
    said = one.compute(mixed)[600 + one.REACH - 1 :]
    assert said.tobytes() == whole(name)[600 + one.REACH - 1 :].tobytes()


@pytest.mark.parametrize("name", SETS)
def test_the_reach_is_no_longer_than_it_must_be(name):
    """The oldest row of the reach moves the row at its end."""
    one = SETS[name]
    if name == "indicator":
        pytest.skip("the oldest row of an ADX weighs less than a rounding error")
    other = columns(ROWS, seed=9)
    first = 500
    mixed = {key: np.array(values) for key, values in MARKET.items()}
    for key, values in mixed.items():
        if key != "minute":
            values[first] = other[key][first] * 1.01
    row = first + one.REACH - 1
    assert (one.compute(mixed)[row] != whole(name)[row]).any()
    assert (one.compute(mixed)[row + 1] == whole(name)[row + 1]).all()


@pytest.mark.parametrize("name", SETS)
def test_all_is_finite_from_the_reach_on_and_nothing_is_before(name):
    one = SETS[name]
    assert whole(name).shape == (ROWS, len(one.NAMES)) == (ROWS, len(set(one.NAMES)))
    assert np.isnan(whole(name)[: one.REACH - 1]).all()
    assert np.isfinite(whole(name)[one.REACH - 1 :]).all()


@pytest.mark.parametrize("name", SETS)
def test_prices_and_sizes_have_no_unit(name):
    """A coin of another price, quoted in other lots, gives the same values."""
    one = SETS[name]
    scaled = dict(MARKET)
    for key in ("open", "high", "low", "close", "bid_prices", "ask_prices"):
        scaled[key] = MARKET[key] * 4.0
    for key in ("bid_sizes", "ask_sizes"):
        scaled[key] = MARKET[key] * 0.125
    np.testing.assert_allclose(one.compute(scaled), whole(name), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", SETS)
def test_a_market_in_which_nothing_moves_gives_finite_values_without_a_warning(name):
    one = SETS[name]
    flat = {key: np.repeat(values[:1], 600, axis=0) for key, values in MARKET.items()}
    for key in ("open", "high", "low"):
        flat[key] = flat["close"]
    for key in ("second_deviation", "messages", "spread_mean", "spread_max"):
        flat[key] = np.zeros(600)
    flat["minute"] = np.arange(600.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = one.compute(flat)[one.REACH - 1 :]
    assert np.isfinite(said).all()
    assert np.abs(said).max() < 1_000
    if name != "book":  # whose shape says something of a market at rest too
        told = {"up_share_15": -0.5, "chop_14": -1.0}
        expected = [told.get(figure, 0.0) for figure in one.NAMES]
        np.testing.assert_allclose(said, np.tile(expected, (len(said), 1)), atol=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_too_few_rows_have_no_value(name):
    one = SETS[name]
    for rows in (1, 2, 59, one.REACH - 1):
        said = one.compute(stretch(MARKET, 0, rows))
        assert said.shape == (rows, len(one.NAMES))
        assert np.isnan(said).all()
