"""What holds of every family, and of all together."""

from __future__ import annotations

import re
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.served.candles.features import sets
from tests.served.candles.features.markets import MARKETS, PRICES, smooth, stretch

ROWS = 640
COUNTS = {
    "price": 40, "averages": 29, "momentum": 16, "volatility": 25, "volume": 10, "statistics": 11,
    "time": 14, "regime": 5,
}  # fmt: skip
EVERY = sets.FAMILIES | {"all": sets}


@cache
def market(form):
    """One market of each form."""
    return MARKETS[form](ROWS, seed=3)


@cache
def whole(form, family="all"):
    """What a family says of all rows of a market."""
    return EVERY[family].compute(market(form))


def test_the_families_are_those_of_the_document():
    assert {name: len(one.NAMES) for name, one in sets.FAMILIES.items()} == COUNTS
    assert len(set(sets.NAMES)) == 150
    assert set(sets.NEEDS) == {need for one in sets.FAMILIES.values() for need in one.NEEDS}
    assert max(one.REACH for one in sets.FAMILIES.values()) == sets.REACH <= 260


def test_the_documents_table_names_every_feature_once():
    text = Path("docs/data.md").read_text(encoding="utf-8")
    for family, one in sets.FAMILIES.items():
        row = re.search(rf"^\| {family}, {len(one.NAMES)} \|(.*)$", text, re.MULTILINE)
        named = re.findall(r"`([a-z_0-9]+)(?:\[([^]]+)\])?`", row[1])
        told = [f"{name}{end}" for name, ends in named for end in ends.split(",")]
        assert sorted(told) == sorted(one.NAMES)


@settings(max_examples=40)
@given(st.data())
def test_a_row_has_the_same_bits_whatever_stands_before_its_reach_or_after_it(data):
    form = data.draw(st.sampled_from(sorted(MARKETS)), label="form")
    one = EVERY[family := data.draw(st.sampled_from(sorted(EVERY)), label="family")]
    first = data.draw(st.integers(0, ROWS - one.REACH), label="first row given")
    last = data.draw(st.integers(first + one.REACH, ROWS), label="end of the rows given")
    rows = slice(first + one.REACH - 1, last)
    part = one.compute(stretch(market(form), first, last))[one.REACH - 1 :]
    assert part.tobytes() == whole(form, family)[rows].tobytes()


def test_each_row_alone_has_the_same_bits_as_among_all():
    for last in range(sets.REACH, ROWS, 29):
        alone = sets.compute(stretch(market("ticks"), last - sets.REACH, last))[-1]
        assert alone.tobytes() == whole("ticks")[last - 1].tobytes()


@pytest.mark.parametrize("family", [name for name in sets.FAMILIES if name != "time"])
def test_the_reach_is_no_longer_than_it_must_be(family):
    """The oldest row of the reach moves the row at its end, and no row after it."""
    one, first = sets.FAMILIES[family], 300
    other = {name: np.array(values) for name, values in market("smooth").items()}
    for name in (*PRICES, "volume"):
        other[name][first] *= 1e12
    row, found = first + one.REACH - 1, one.compute(other)
    if family != "regime":  # whose oldest row can only move a flag
        assert (found[row] != whole("smooth", family)[row]).any()
    assert (found[row + 1 :] == whole("smooth", family)[row + 1 :]).all()
    assert found[one.REACH - 1 : first].tobytes() == (
        whole("smooth", family)[one.REACH - 1 : first].tobytes()
    )


@pytest.mark.parametrize("form", ["smooth", "ticks", "silent"])
def test_all_is_finite_from_the_reach_on_and_nothing_is_before(form):
    assert whole(form).shape == (ROWS, 150)
    assert np.isnan(whole(form)[: sets.REACH - 1]).all()
    assert np.isfinite(whole(form)[sets.REACH - 1 :]).all()


def scaled(form, rows, price, volume):
    """The first rows of a market in which prices and volumes have another unit."""
    factors = dict.fromkeys(PRICES, price) | {"volume": volume}
    return {name: part * factors.get(name, 1) for name, part in stretch(form, 0, rows).items()}


@settings(max_examples=10)
@given(st.floats(-9, 9), st.floats(-9, 9))
def test_prices_and_volumes_have_no_unit(price, volume):
    rows = sets.REACH + 30
    found = sets.compute(scaled(market("smooth"), rows, 10**price, 10**volume))
    np.testing.assert_allclose(found, whole("smooth")[:rows], rtol=1e-6, atol=1e-6)


def test_prices_on_a_grid_have_no_unit():
    """A power of two keeps equal moves equal, on which Wilder's directional moves turn."""
    found = sets.compute(scaled(market("ticks"), ROWS, 2.0**9, 2.0**-7))
    np.testing.assert_allclose(found, whole("ticks"), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("price", "traded"), [(1.0, 0.0), (0.1, 0.1), (67_123.45, 7.7), (3e-7, 0)])
def test_a_market_in_which_nothing_moves_gives_zeros_without_a_warning(price, traded):
    rows = sets.REACH + 40
    flat = dict.fromkeys(PRICES, np.full(rows, price)) | {
        "volume": np.full(rows, traded), "time": market("smooth")["time"][:rows],
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sets.compute(flat)[sets.REACH - 1 :]
    for name, values in zip(sets.NAMES, found.T, strict=True):
        if name not in sets.FAMILIES["time"].NAMES:
            assert np.abs(values).max() < 1e-9, name


@pytest.mark.parametrize("family", EVERY)
def test_too_few_rows_have_no_value(family):
    one = EVERY[family]
    for rows in {0, 1, 2, 29, one.REACH - 1} - {one.REACH}:
        if rows < one.REACH:
            found = one.compute(stretch(market("smooth"), 0, rows))
            assert found.shape == (rows, len(one.NAMES))
            assert np.isnan(found).all()


def test_a_coins_whole_history_takes_less_than_two_seconds_and_its_newest_row_20_ms():
    history = smooth(3_000)
    newest = stretch(history, 3_000 - sets.REACH, 3_000)
    sets.compute(newest)
    taken = []
    for rows, times in ((history, 1), (newest, 8)):
        spent = []
        for _ in range(times):
            start = time.process_time()
            sets.compute(rows)
            spent.append(time.process_time() - start)
        taken.append(min(spent))
    assert taken[0] < 2
    assert taken[1] < 0.02
