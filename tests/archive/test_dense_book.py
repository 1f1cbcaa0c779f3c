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
    apply,
    clear,
    has_room,
    quote,
    top,
)
from quantgod.archive.levels import (
    ASKS,
    BIDS,
    HIGH,
    IS_SNAPSHOT,
    LARGEST_PRICE,
    LOW,
    MESSAGE_LENGTH,
    NO_HIGH,
    NO_LOW,
)
from quantgod.archive.tokens import LARGEST_DIGITS
from quantgod.contracts import BookUpdate
from quantgod.market.book import OrderBook

WIDE = 1 << 15

# Prices of many scales: a step of 5, 0.25, 0.1 and 0.01.
scales = st.sampled_from([(5, 0), (25, 2), (1, 1), (1, 2)])


@st.composite
def sides(draw):
    step, decimals = draw(scales)
    ticks = draw(st.lists(st.integers(1, 4_000), unique=True, min_size=1, max_size=30))
    return sorted(tick * step / 10**decimals for tick in ticks)


@settings(max_examples=25)
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


@settings(max_examples=25)
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


def test_a_book_without_prices_asks_for_no_room():
    book = DenseBook()
    assert book.ticks(np.zeros(0), is_snapshot=False).tolist() == []
    assert (book.sizes.shape, book.scale.tolist()) == ((2, 0), [0, 0])


def test_levels_that_are_replaced_need_no_room_beside_the_new_ones():
    book = DenseBook()
    for first in (1.0, 2.0 * LARGEST_WIDTH, 1.0):
        levels = np.array([[first, 2.0], [first + 1, 3.0]])
        book.replace(levels[:1], levels[1:])
        assert [side.tolist() for side in book.levels()] == [[[first, 2.0]], [[first + 1, 3.0]]]
        assert book.sizes.shape[1] == LEAST_WIDTH


def test_levels_that_are_held_move_with_the_book():
    book = DenseBook()
    bids, asks = np.array([[9.5, 2.0], [8.0, 1.0]]), np.array([[10.0, 4.0], [11.5, 5.0]])
    book.replace(bids, asks)
    book.ticks(np.array([30_000.25]), is_snapshot=False)
    assert [side.tolist() for side in book.levels()] == [bids.tolist(), asks.tolist()]
    assert_edges_are_those_of(book)


levels_of_changes = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([0, 0, 0.5, 1, 3])))
messages = st.tuples(st.sampled_from([False, False, False, True]), *2 * [levels_of_changes])


@settings(max_examples=80, deadline=None)
@given(st.lists(messages, min_size=1, max_size=8), st.sampled_from([(0, 1), (1, 5), (2, 25)]))
def test_changes_leave_the_book_that_dictionaries_leave(feed, scale):
    """With every place of a narrow window in use, its ends too, and bids above asks."""
    decimals, step = scale
    book, other = DenseBook(), OrderBook()
    book.sizes, book.scale[:] = np.zeros((2, 21)), scale
    book.edges[BASE] = 7
    book.clear()
    message = np.zeros(MESSAGE_LENGTH, dtype=np.int64)
    for is_snapshot, *sides in feed:
        ticks, sizes = np.zeros((2, 99), dtype=np.int64), np.zeros((2, 99))
        for side, changes in enumerate(sides):
            ticks[side, : len(changes)] = [place + 7 for place, _ in changes]
            sizes[side, : len(changes)] = [size for _, size in changes]
        told = [place + 7 for changes in sides for place, _ in changes]
        message[[IS_SNAPSHOT, BIDS, ASKS]] = is_snapshot, *map(len, sides)
        message[[LOW, HIGH]] = min(told, default=NO_LOW), max(told, default=NO_HIGH)
        assert has_room(book.sizes, book.edges, message)
        apply(book.sizes, book.edges, message, ticks, sizes)
        prices = ([((p + 7) * step / 10**decimals, s) for p, s in changes] for changes in sides)
        other.apply(BookUpdate("X", 0, is_snapshot, 1, *prices))
        assert_edges_are_those_of(book)
        assert_top_and_quote_are_those_of(book, other)
    clear(book.sizes, book.edges)
    assert_is_empty(book)


def assert_top_and_quote_are_those_of(book, other):
    for count in (1, 4, 30):
        best = np.full((2, count, 2), 7.0)
        top(book.sizes, book.edges, book.scale, best)
        for side, held in zip(best, other.top(count), strict=True):
            assert side[: len(held)].tolist() == [list(level) for level in held]
            assert np.isnan(side[len(held) :, 0]).all()
            assert not side[len(held) :, 1].any()
    if not other.is_one_sided:
        assert quote(book.sizes, book.edges, book.scale) == other.quote()


def assert_is_empty(book):
    width = book.sizes.shape[1]
    assert not book.sizes.any()
    assert book.edges.tolist() == [int(book.edges[BASE]), -1, width, 0, 0, width, -1]


def test_a_book_is_empty_at_first_and_when_it_was_cleared():
    book = DenseBook()
    assert_is_empty(book)
    book.replace(np.array([[9.5, 2.0]]), np.array([[10.0, 4.0]]))
    book.clear()
    assert_is_empty(book)


@pytest.mark.parametrize(("low", "high", "fits"), [
    (100, 107, True), (99, 107, False), (100, 108, False), (104, 104, True), (NO_LOW, NO_HIGH, True)
])  # fmt: skip
def test_a_message_has_room_from_the_first_place_to_the_last(low, high, fits):
    book = DenseBook()
    book.sizes, book.edges[BASE] = np.zeros((2, 8)), 100
    message = np.zeros(MESSAGE_LENGTH, dtype=np.int64)
    message[[LOW, HIGH]] = low, high
    assert has_room(book.sizes, book.edges, message) == fits


@given(st.integers(1, 10**15), st.integers(-3, 18))
@example(1, 0)
@example(100, 0)
@example(1_000_000, -3)
def test_a_price_is_the_shortest_decimal_that_is_the_same_double(mantissa, places):
    price = float(f"{mantissa}e{-places}")
    found, decimals = dense_book._decimal(price)
    assert float(f"{found}e{-decimals}") == price
    assert decimals == 0 or (decimals > 0 and found % 10)
    assert found * 10**places == mantissa * 10**decimals
