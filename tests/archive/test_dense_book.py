from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantgod.archive.dense_book import LARGEST_WIDTH, DenseBook, Unfit

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


def test_a_book_that_moves_all_the_time_is_given_up():
    book = DenseBook()
    with pytest.raises(Unfit, match="often"):
        for move in range(3_000):
            book.ticks(np.array([1.0 + 9e5 * (move % 2)]) / 10, is_snapshot=True)
