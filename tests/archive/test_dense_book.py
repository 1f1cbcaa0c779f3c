from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quantgod.archive import dense_book
from quantgod.archive.dense_book import (
    ASK_COUNT,
    BASE,
    BEST_ASK,
    BEST_BID,
    BID_COUNT,
    FIRST,
    LARGEST_MOVES,
    LARGEST_WIDTH,
    LAST,
    LEAST_WIDTH,
    DenseBook,
    Unfit,
)
from quantgod.archive.levels import LARGEST_PRICE
from quantgod.archive.tokens import LARGEST_DIGITS

WIDE = 1 << 15

# Prices of many scales: a step of 5, 0.25, 0.1 and 0.01.
scales = st.sampled_from([(5, 0), (25, 2), (1, 1), (1, 2)])


@st.composite
def sides(draw):
    step, decimals = draw(scales)
    ticks = draw(st.lists(st.integers(1, 4_000), unique=True, min_size=1, max_size=30))
    return sorted(tick * step / 10**decimals for tick in ticks)


@settings(max_examples=60)
@given(st.lists(sides(), min_size=1, max_size=4))
def test_levels_come_back_to_the_bit_however_often_the_book_moves(books):
    book = DenseBook()
    for prices in books:
        asks = np.column_stack([prices, np.arange(1.0, len(prices) + 1)])
        book.replace(asks[::-1], asks)
        book.ticks(np.array([0.03, round(prices[-1] + 0.25, 2)]), is_snapshot=False)
        bids, again = book.levels()
        assert again.tobytes() == asks.tobytes()
        assert bids.tobytes() == asks[::-1].tobytes()


def test_ticks_divide_back_to_every_price_of_one_decimal():
    book = DenseBook()
    prices = np.array([tick / 10 for tick in range(599_000, 601_000)])
    ticks = book.ticks(prices, is_snapshot=True)
    assert (book.scale == [1, 1]).all()
    assert (ticks / 10 == prices).all()


def test_the_tick_comes_from_the_data_and_becomes_finer_when_it_must():
    book = DenseBook()
    book.ticks(np.array([100.0, 100.5, 102.0]), is_snapshot=True)
    assert book.scale.tolist() == [1, 5]
    book.ticks(np.array([100.25]), is_snapshot=False)
    assert book.scale.tolist() == [2, 25]


def test_prices_too_far_apart_or_too_fine_do_not_fit():
    for prices in ([0.1, 0.1 * LARGEST_WIDTH + 1], [1.0, 1.0000000000000002]):
        with pytest.raises(Unfit):
            DenseBook().ticks(np.array(prices), is_snapshot=True)


@pytest.mark.parametrize(
    ("fits", "does_not", "why"),
    [
        ([1.0, 1.0 + WIDE - 1], [1.0, 1.0 + WIDE], f"prices span {WIDE + 1} ticks"),
        ([7.0, 7.0], None, ""),
        ([10.0**-LARGEST_DIGITS], [10.0 ** -(LARGEST_DIGITS + 1)], "too many digits"),
        ([LARGEST_PRICE - 1.0], [float(LARGEST_PRICE)], "too many digits"),
        ([1e14], [1e16], "too many digits"),
        ([1e14], [1e300], "too many digits"),
        ([99_999_999_999_999.9], [100_000_000_000_000.2], "too many digits"),
    ],
)
def test_the_last_price_that_fits_and_the_first_that_does_not(fits, does_not, why, monkeypatch):
    monkeypatch.setattr(dense_book, "LARGEST_WIDTH", WIDE)
    book = DenseBook()
    ticks = book.ticks(np.array(fits), is_snapshot=True)
    decimals, step = book.scale.tolist()
    assert (ticks * step / 10.0**decimals == fits).all()
    places = ticks - book.edges[BASE]
    assert 0 <= places.min() <= places.max() < book.sizes.shape[1]
    if does_not is not None:
        with pytest.raises(Unfit, match=why):
            DenseBook().ticks(np.array(does_not), is_snapshot=True)


def test_the_windows_own_ends_have_a_place_and_the_ticks_beside_them_make_it_move():
    book = DenseBook()
    book.ticks(np.array([1.0, 50_000.0]), is_snapshot=True)
    for step in (0, 1):
        for end in (int(book.edges[BASE]), int(book.edges[BASE]) + book.sizes.shape[1] - 1):
            base = int(book.edges[BASE])
            tick = end + step * (1 if end > base else -1)
            (place,) = book.ticks(np.array([float(tick)]), is_snapshot=True) - book.edges[BASE]
            assert (book.edges[BASE] == base) == (step == 0)
            assert 0 <= place < book.sizes.shape[1]
            book = DenseBook()
            book.ticks(np.array([1.0, 50_000.0]), is_snapshot=True)


def test_a_book_may_move_so_often_and_not_once_more():
    book, prices = DenseBook(), np.array([[1.0], [900_001.0]]) / 10
    for move in range(LARGEST_MOVES):
        book.ticks(prices[move % 2], is_snapshot=True)
        book.ticks(prices[move % 2], is_snapshot=True)  # there already
    with pytest.raises(Unfit, match="often"):
        book.ticks(prices[LARGEST_MOVES % 2], is_snapshot=True)


def assert_edges_are_those_of(book):
    """As if every place were looked at."""
    used = [np.flatnonzero(side) for side in book.sizes]
    assert [int(book.edges[BID_COUNT]), int(book.edges[ASK_COUNT])] == list(map(len, used))
    assert book.edges[BEST_BID] == max(used[0], default=-1)
    assert book.edges[BEST_ASK] == min(used[1], default=book.sizes.shape[1])
    everywhere = np.concatenate(used)
    assert book.edges[FIRST] <= min(everywhere, default=book.sizes.shape[1])
    assert book.edges[LAST] >= max(everywhere, default=-1)


@settings(max_examples=60)
@given(st.lists(st.tuples(sides(), st.integers(0, 30), st.integers(0, 30)), max_size=4))
def test_edges_and_scale_are_those_of_the_levels_however_often_the_book_moves(books):
    """The scale only becomes finer: what had a tick before still has one."""
    book = DenseBook()
    for prices, bids, asks in books:
        decimals, step = book.scale.tolist()
        levels = np.column_stack([prices, np.arange(1.0, len(prices) + 1)])
        book.replace(levels[:bids][::-1], levels[len(levels) - min(asks, len(levels)) :])
        assert_edges_are_those_of(book)
        more, finer = book.scale.tolist()
        assert more >= decimals
        assert not finer or step * 10 ** (more - decimals) % finer == 0
        book.ticks(np.array([0.03, round(prices[-1] + 0.25, 2)]), is_snapshot=False)
        assert_edges_are_those_of(book)
    book.clear()
    assert_edges_are_those_of(book)


def test_a_price_that_has_a_tick_and_a_place_may_still_be_too_large():
    book = DenseBook()
    book.ticks(LARGEST_PRICE - np.array([3_000.0, 1_000.0]), is_snapshot=True)
    assert book.scale.tolist() == [0, 1_000]
    with pytest.raises(Unfit, match="too many digits"):
        book.ticks(np.array([float(LARGEST_PRICE)]), is_snapshot=True)


@given(st.integers(1, 20_000))
@example(8_192)
@example(8_193)
@example(16_384)
def test_a_new_window_leaves_as_much_room_below_as_above(width):
    """It is the next power of two that has twice the room that is needed."""
    book = DenseBook()
    prices = np.arange(50_000.0, 50_000 + width)
    places = book.ticks(prices, is_snapshot=True) - book.edges[BASE]
    below, above = places.min(), book.sizes.shape[1] - 1 - places.max()
    assert book.sizes.shape[1] == max(LEAST_WIDTH, 2 ** math.ceil(math.log2(2 * width)))
    assert abs(above - below) <= 1


def test_a_book_that_moves_all_the_time_is_given_up():
    book = DenseBook()
    with pytest.raises(Unfit, match="often"):
        for move in range(3_000):
            book.ticks(np.array([1.0 + 9e5 * (move % 2)]) / 10, is_snapshot=True)
