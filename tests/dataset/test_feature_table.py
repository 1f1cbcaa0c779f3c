"""The features of stored days are those of the whole stretch, and no more than it gives."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.contracts import FEATURES, SECOND_FIGURES
from quantgod.dataset.feature_table import SourceRows, feature_days
from quantgod.served.features import sets
from quantgod.served.features.source import source_columns
from tests.served.features.markets import columns

MINUTES = 1_500
FIRST = 28_401_120  # an epoch minute that begins a day
BRIDGE = 5


@cache
def stored() -> SourceRows:
    """Rows as a store has them, of a drawn market: candles told by features, books by columns."""
    drawn = columns(MINUTES)
    opening, high, low, close = (drawn[name] for name in ("open", "high", "low", "close"))
    before = np.concatenate([close[:1], close[:-1]])
    told = {
        "body": np.log(close / opening),
        "upper_wick": (high - np.maximum(opening, close)) / before,
        "lower_wick": (np.minimum(opening, close) - low) / before,
        "log_ret_close": np.log(close / before),
        "log_volume": np.log1p(drawn["messages"]),
    }
    sides = [
        np.stack([drawn[f"{side}_prices"], drawn[f"{side}_sizes"]], axis=2)
        for side in ("bid", "ask")
    ]
    return SourceRows(
        FIRST + np.arange(MINUTES),
        np.column_stack([told.get(name, np.zeros(MINUTES)) for name in FEATURES]),
        close,
        np.stack(sides, axis=1).reshape(MINUTES, -1),
        np.column_stack([drawn[name] for name in SECOND_FIGURES]),
    )


def taken(rows: np.ndarray) -> SourceRows:
    return SourceRows(*(values[rows] for values in stored()))


def made(*days: np.ndarray) -> pd.DataFrame:
    return pd.concat(feature_days(map(taken, days), BRIDGE))


@cache
def whole() -> pd.DataFrame:
    return made(np.arange(MINUTES))


def test_the_columns_are_those_that_the_bars_were_made_of() -> None:
    drawn, rows = columns(MINUTES), stored()
    bars = dict(zip(FEATURES, rows.features.T, strict=True)) | {"close": rows.close}
    seconds = dict(zip(SECOND_FIGURES, rows.seconds.T, strict=True))
    found = source_columns(rows.minutes, bars, rows.book.reshape(MINUTES, 2, -1, 2), seconds)
    needed = {name for one in sets.SETS.values() for name in one.NEEDS}
    assert needed <= found.keys()
    for name in needed - {"minute"}:
        np.testing.assert_allclose(found[name], drawn[name], rtol=1e-12)
    assert np.array_equal(found["messages"], drawn["messages"])


def test_a_level_that_is_not_there_follows_the_last_and_has_no_size() -> None:
    rows = stored()
    book = rows.book.reshape(MINUTES, 2, -1, 2).copy()
    book[7, 0, 40:] = np.nan
    bars = dict(zip(FEATURES, rows.features.T, strict=True)) | {"close": rows.close}
    found = source_columns(rows.minutes, bars, book, {})
    assert (found["bid_prices"][7, 40:] == book[7, 0, 39, 0]).all()
    assert (found["bid_sizes"][7, 40:] == 0).all()
    assert np.array_equal(found["ask_prices"], book[:, 1, :, 0])


def test_there_are_112_and_all_are_there_from_the_reach_on() -> None:
    found = whole()
    assert found.shape == (MINUTES, 112) == (MINUTES, len(set(sets.NAMES)))
    assert np.isfinite(found.iloc[sets.REACH - 1 :]).all(axis=None)
    assert found.iloc[sets.REACH - 2].isna().any()
    assert found.index[0] == pd.Timestamp(FIRST * 60, unit="s", tz="UTC")


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, MINUTES - 1), max_size=4, unique=True))
def test_days_joined_have_the_bits_of_the_whole(cuts: list[int]) -> None:
    parts = np.split(np.arange(MINUTES), sorted(cuts))
    pd.testing.assert_frame_equal(made(*parts), whole(), check_exact=True)


@pytest.mark.parametrize("missing", [BRIDGE, BRIDGE + 1])
@pytest.mark.parametrize("at", [700, 720])
def test_a_longer_gap_begins_anew_and_a_short_one_is_bridged(missing: int, at: int) -> None:
    """Whether it lies within a day or between two."""
    older, newer = np.arange(at), np.arange(at + missing, MINUTES)
    found = made(older, newer) if at == 720 else made(np.concatenate([older, newer]))
    after = found.iloc[at:]
    if missing == BRIDGE:
        assert np.isfinite(after).all(axis=None)
    else:
        pd.testing.assert_frame_equal(after, made(newer), check_exact=True)
        assert after.iloc[: sets.REACH - 1].isna().any(axis=1).all()
    pd.testing.assert_frame_equal(found.iloc[:at], whole().iloc[:at], check_exact=True)
