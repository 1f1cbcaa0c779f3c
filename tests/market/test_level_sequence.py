from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantgod.market.book import OrderBook
from quantgod.market.level_sequence import LevelSampler, best_levels, normalised

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


def book_at(mid: float, levels: int = 25) -> OrderBook:
    book = OrderBook()
    sizes = [(1 + place * 7919 % 13) / 4 for place in range(levels)]
    bids = [(mid - 0.5 - place, size) for place, size in enumerate(sizes)]
    asks = [(mid + 0.5 + place, size) for place, size in enumerate(reversed(sizes))]
    book.replace(bids, asks)
    return book


def sampler(length: int = 5) -> LevelSampler:
    return LevelSampler(20, 100, length, 5)


@given(st.integers(1, 4), st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_no_row_depends_on_a_later_one_nor_on_scale(
    place: int, price_scale: float, size_scale: float
) -> None:
    taken = sampler()
    for number in range(6):
        taken.take(1000 + 100 * number, book_at(60_000 + number))
    sequence = taken.sequence()
    assert sequence is not None
    plain = normalised(sequence)
    later = sequence.copy()
    later[place:] *= 1.7
    assert np.array_equal(normalised(later)[:place], plain[:place])
    scaled = sequence * [price_scale, size_scale, price_scale, size_scale]
    assert np.allclose(normalised(scaled), plain, rtol=1e-9, atol=1e-6)


@given(arrays(np.float64, (3, 4, 4), elements=st.floats(0.5, 1e6)))
def test_normalised_is_its_formula_at_every_level_of_both_sides(sequence) -> None:
    """Basis points from the first mid, and shares of the first mean size; written out."""
    plain = normalised(sequence)
    first = sequence[0].tolist()
    mid = (first[0][0] + first[0][2]) / 2
    mean = sum(level[1] + level[3] for level in first) / 8
    for rows, found in zip(sequence.tolist(), plain.tolist(), strict=True):
        for level, made in zip(rows, found, strict=True):
            prices, sizes = (made[0], made[2]), (made[1], made[3])
            assert prices == pytest.approx([10_000 * (level[k] / mid - 1) for k in (0, 2)])
            assert sizes == pytest.approx([level[k] / mean for k in (1, 3)])


@given(st.lists(st.integers(0, LEVELS + 2), min_size=2, max_size=2))
def test_the_best_levels_stand_in_their_columns_and_absent_ones_have_no_size(depths) -> None:
    made = OrderBook()
    made.replace(*([(10.0 + k, 1.0 + k) for k in range(depth)] for depth in depths))
    rows = best_levels(made, LEVELS).reshape(LEVELS, 2, 2)
    for side, held in enumerate(made.top(LEVELS)):
        assert rows[: len(held), side].tolist() == [list(level) for level in held]
        assert np.isnan(rows[len(held) :, side, 0]).all()
        assert not rows[len(held) :, side, 1].any()


def test_a_silence_is_bridged_up_to_its_limit() -> None:
    taken = sampler(length=30)
    assert taken.take(1_000, book_at(100)) == []
    filled = taken.take(6_100, book_at(101))
    assert [ts for ts, _ in filled] == list(range(1_000, 6_100, 100))
    assert taken.sequence() is not None
    assert [ts for ts, _ in taken.take(11_300, book_at(102))] == [6_100]
    taken.take(11_400, book_at(102))
    assert taken.sequence() is None


def test_a_late_message_changes_the_open_interval_only() -> None:
    taken = sampler()
    taken.take(1_050, book_at(100))
    assert taken.take(950, book_at(101)) == []
    ((ts, levels),) = taken.take(1_130, book_at(102))
    assert ts == 1_000
    assert levels.tolist() == best_levels(book_at(101), 20).tolist()


def test_a_loss_takes_the_open_interval_with_it() -> None:
    taken = sampler()
    taken.take(1_050, book_at(100))
    taken.lose()
    assert taken.take(1_230, book_at(100)) == []


def test_a_book_thinner_than_the_levels_is_recorded_and_gives_no_sequence() -> None:
    taken = sampler(length=2)
    for number in range(5):
        closed = taken.take(1_000 + 100 * number, book_at(100, levels=7))
    assert np.isnan(closed[0][1].reshape(20, 4)[7:, 0]).all()
    assert closed[0][1].reshape(20, 4)[7:, 1].tolist() == [0.0] * 13
    assert taken.sequence() is None
