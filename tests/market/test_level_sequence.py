from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.market.book import OrderBook
from quantgod.market.level_sequence import LevelSampler, best_levels

LENGTH, LEVELS = 4, 3


def book(levels: int) -> OrderBook:
    made = OrderBook()
    made.replace(
        [(99.0 - place, 1.0) for place in range(levels)],
        [(101.0 + place, 2.0) for place in range(LEVELS)],
    )
    return made


@given(st.lists(st.sampled_from([LEVELS - 1, LEVELS, None]), min_size=1, max_size=14))
@example([LEVELS, LEVELS, LEVELS - 1, LEVELS, LEVELS, LEVELS, LEVELS, LEVELS])
@example([LEVELS, LEVELS, None, LEVELS, LEVELS, LEVELS])
def test_a_sequence_holds_only_intervals_that_follow_one_another_and_show_all_levels(depths):
    """Of each interval its depth; `None`: the book was lost."""
    sampler, whole = LevelSampler(LEVELS, 100, LENGTH, 5), 0
    for place, depth in enumerate([*depths, LEVELS]):
        if depth is None:
            sampler.lose()
            whole = 0
            continue
        sampler.take(100 * place, book(depth))
        sequence = sampler.sequence()
        assert (sequence is not None) == (whole >= LENGTH)
        if sequence is not None:
            assert (sequence == best_levels(book(LEVELS), LEVELS).reshape(LEVELS, 4)).all()
        whole = whole + 1 if depth == LEVELS else 0


@pytest.mark.parametrize(("gap", "is_bridged"), [(51, True), (52, False)])
def test_a_silence_longer_than_a_book_stands_breaks_the_sequence(gap, is_bridged):
    sampler = LevelSampler(LEVELS, 100, LENGTH, 5)
    for place in range(LENGTH):
        sampler.take(100 * place, book(LEVELS))
    sampler.take(100 * (LENGTH - 1 + gap), book(LEVELS))
    sampler.take(100 * (LENGTH + gap), book(LEVELS))
    assert (sampler.sequence() is not None) == is_bridged
