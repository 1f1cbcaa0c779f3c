"""Live minutes have the features that the stage makes of the same minutes, to the bit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from quantgod.contracts import ALL_FEATURES
from quantgod.contracts.minute_rows import MinuteRows
from quantgod.live.engine.feature_rows import source_row
from quantgod.live.engine.window import Window
from quantgod.market.book_bars import ClosedMinute
from quantgod.market.minute_bars import MinuteBar
from quantgod.served.features import sets
from tests.dataset.test_feature_table import made
from tests.live.engine.markets import (
    BRIDGE,
    closed_at,
    features_at,
    filled,
    stream,
    taken,
)

ALL = len(ALL_FEATURES)
PAST = sets.REACH - 1


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether both hold the same numbers to the bit, and are unknown in the same places."""
    unknown = np.isnan(one)
    known = np.array_equal(one[~unknown].view(np.int64), other[~unknown].view(np.int64))
    return known and np.array_equal(unknown, np.isnan(other))


def test_streamed_minutes_have_the_bits_of_stored_ones_from_the_first_whole_row_on() -> None:
    window = filled(PAST - 3)
    for place in range(PAST - 3, PAST + 15):
        stream(window, place)
        known = max(0, place - PAST + 1)
        assert window.missing(1, ALL) == max(0, PAST - place)
        if known:
            newest = window.newest(min(known, 20), ALL)
            places = range(place + 1 - len(newest.minutes), place + 1)
            assert same_bits(newest.features, features_at(*places))


@pytest.mark.parametrize("rows", [0, 1, PAST - 1, PAST, PAST + 1, PAST + 2, PAST + 3, 700])
def test_what_is_missing_is_told_of_both_kinds_of_versions(rows: int) -> None:
    window = filled(rows)
    whole = min(max(0, rows - PAST), 50)
    for length in (1, 3, 50):
        assert window.missing(length) == max(0, length - rows)
        assert window.missing(length, ALL) == max(0, length - whole) + max(0, PAST - rows)
        assert window.warming(9) == 0
        assert window.warming(ALL) == max(0, PAST - rows)
    if rows < PAST + 3:
        with pytest.raises(ValueError, match=r"3 rows were asked for, .* are missing"):
            window.newest(3, ALL)
    if rows > 2:
        assert window.newest(3).features.shape == (3, 9)


@pytest.mark.parametrize("missing", [BRIDGE, BRIDGE + 1])
@pytest.mark.parametrize("told", [True, False], ids=["without rows", "without a word"])
def test_a_longer_gap_begins_anew_and_a_short_one_is_bridged(missing: int, told: bool) -> None:
    begun, again = 500, 500 + missing
    window = filled(begun)
    for minute in range(begun, again) if told else ():
        closed = closed_at(minute)
        assert window.close(closed.bar.minute, None)
    stream(window, *range(again, again + 4))
    expected = made(np.r_[:begun, again : again + 4]).to_numpy()[-4:]
    if missing == BRIDGE:
        assert same_bits(window.newest(4, ALL).features[:, 9:], expected)
    else:
        assert np.isnan(expected).any(axis=1).all()
        assert window.missing(2, ALL) == 2 + PAST - 4
        assert window.missing(4) == 0


def test_a_minute_whose_seconds_are_not_known_begins_anew_and_the_nine_go_on() -> None:
    window = filled(PAST + 5)
    assert window.missing(2, ALL) == 0
    bar = closed_at(PAST + 5).bar
    assert window.close(bar.minute, bar.features, None)
    assert (window.missing(2), window.missing(2, ALL)) == (0, 2 + PAST)
    stream(window, PAST + 6)
    assert window.missing(2, ALL) == 2 + PAST - 1


def test_history_without_levels_counts_for_the_nine_alone() -> None:
    past = taken(np.arange(PAST + 40))
    rows = MinuteRows(past.minutes, past.features)
    window = Window(BRIDGE, kept=50)
    window.fill(rows)
    assert (window.missing(50), window.missing(50, ALL)) == (0, 50 + PAST)
    # Of these rows one in the middle has none, and what lies before it is of no use.
    window = Window(BRIDGE, kept=50)
    window.fill(rows, past.at(np.flatnonzero(np.arange(PAST + 40) != 30)))
    assert (window.missing(50), window.missing(50, ALL)) == (0, 50 - 9)


def test_of_history_that_a_replay_has_not_come_to_nothing_is_seen() -> None:
    ahead, plain = filled(700), filled(600)
    for place in range(600, 604):
        stream(ahead, place)
        stream(plain, place)
        for one, other in zip(ahead.newest(40, ALL), plain.newest(40, ALL), strict=True):
            assert one.tobytes() == other.tobytes()
    assert ahead.newest(1, ALL).minutes[0] == closed_at(603).bar.minute


def test_rows_stay_in_place_over_many_turns_of_the_memory() -> None:
    window = filled(PAST + 3, kept=3)
    for place in range(PAST + 3, PAST + 14):
        stream(window, place)
        newest = window.newest(3, ALL)
        assert same_bits(newest.features, features_at(*range(place - 2, place + 1)))
        assert window.missing(4, ALL) == 1


def test_it_holds_no_more_after_many_minutes() -> None:
    window, places = filled(PAST + 3, kept=3), range(PAST + 3, PAST + 25)
    for place in places:
        closed_at(place)
    stream(window, *places[:2])
    tracemalloc.start()
    try:
        stream(window, places[2])
        before = tracemalloc.get_traced_memory()[0]
        stream(window, *places[3:])
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 60_000, "the levels of one minute alone are 6,400 bytes"


def test_a_market_beyond_all_numbers_is_not_known_and_raises_nothing() -> None:
    window = filled(PAST + 5)
    wild = closed_at(PAST + 5).bar
    features = np.full(9, 1e300)
    bar = MinuteBar(wild.minute, "", features, 1e300, wild.seconds)
    closed = ClosedMinute(bar, [(1e300, 1e300)], [(1.7e308, 1e300)])
    assert window.close(bar.minute, features, source_row(closed))
    assert window.missing(1) == 0
    assert window.missing(1, ALL) == 1


def test_a_minute_without_a_row_or_seconds_has_no_sources() -> None:
    closed = closed_at(7)
    bar = closed.bar
    row = source_row(closed)
    assert row is not None
    expected = taken(np.array([7]))
    for one, other in zip(row, expected, strict=True):
        assert (one.shape, one.tobytes()) == (other.shape, other.tobytes())
    assert source_row(closed._replace(bar=bar._replace(features=None))) is None
    assert source_row(closed._replace(bar=bar._replace(seconds=None))) is None
