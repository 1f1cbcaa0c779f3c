from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.market.stops import NEVER, Cuts, no_cuts

SILENCE = 5


def cuts_of(moments: list[int]) -> Cuts:
    count = len(moments)
    levels, is_there = np.full((count, 2, 3, 2), 7.0), np.zeros(count, dtype=np.bool_)
    return Cuts(np.array(moments, dtype=np.int64), SILENCE, levels, is_there)


def book(bid: float, ask: float) -> np.ndarray:
    levels = np.full((2, 3, 2), [np.nan, 0.0])
    levels[0, :2], levels[1, :2] = [[bid, 1.0], [bid - 1, 2.0]], [[ask, 3.0], [ask + 1, 4.0]]
    return levels


def is_decided(cuts: Cuts, place: int, levels: np.ndarray | None) -> bool:
    """Whether a decided moment has this book, or none."""
    if levels is None:
        return (
            not cuts.is_there[place]
            and np.isnan(cuts.levels[place, ..., 0]).all()
            and not cuts.levels[place, ..., 1].any()
        )
    return bool(cuts.is_there[place]) and np.array_equal(cuts.levels[place], levels, equal_nan=True)


@pytest.mark.parametrize(
    ("levels", "is_sound"),
    [
        (book(99.0, 101.0), True),
        (book(101.0, 101.0), False),
        (book(102.0, 101.0), False),
        (book(np.nan, 101.0), False),
        (book(99.0, np.nan), False),
        (book(99.0, 99.5), True),
        (None, False),
    ],
)
def test_only_a_book_with_two_sides_that_do_not_meet_is_there(levels, is_sound):
    cuts = cuts_of([5_000])
    cuts.settle(5_001, 4, levels)
    assert is_decided(cuts, 0, levels if is_sound else None)


@given(
    moments=st.sets(st.integers(0, 30_000), max_size=8).map(sorted),
    clock=st.integers(-1, 12),
    ts=st.integers(0, 30_000),
)
def test_moments_before_a_message_have_the_book_before_it_unless_that_was_silent(
    moments, clock, ts
):
    """A silence of more whole seconds than may be has no book from its first second on."""
    cuts, levels = cuts_of(moments), book(99.0, 101.0)
    cuts.settle(ts, clock, levels)
    before = [moment for moment in moments if moment < ts]
    assert cuts.settled == len(before)
    assert cuts.next_ms == (moments[len(before)] if len(before) < len(moments) else NEVER)
    silent_seconds = ts // 1_000 - clock - 1
    for place, moment in enumerate(before):
        is_silent = silent_seconds > SILENCE and moment // 1_000 > clock
        assert is_decided(cuts, place, None if is_silent else levels)


@given(
    moments=st.sets(st.integers(0, 30_000), max_size=8).map(sorted),
    clock=st.integers(-1, 12),
    until=st.integers(0, 30).map(lambda second: 1_000 * second),
)
def test_without_a_later_message_a_silence_counts_up_to_each_moment(moments, clock, until):
    cuts, levels = cuts_of(moments), book(99.0, 101.0)
    cuts.settle_rest(until, clock, levels)
    before = [moment for moment in moments if moment < until]
    assert cuts.settled == len(before)
    for place, moment in enumerate(before):
        second = moment // 1_000
        is_silent = second - clock > SILENCE and second > clock
        assert is_decided(cuts, place, None if is_silent else levels)


def test_nobody_asks_for_a_moment_unless_he_does():
    cuts = no_cuts()
    assert (cuts.settled, cuts.next_ms) == (0, NEVER)
    cuts.settle(10**15, 0, book(1.0, 2.0))
    cuts.settle_rest(10**15, 0, None)
    assert (cuts.settled, len(cuts.levels), len(cuts.is_there)) == (0, 0, 0)
