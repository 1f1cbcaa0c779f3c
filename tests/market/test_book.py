from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.contracts import BookUpdate
from quantgod.market.book import OrderBook

levels = st.lists(
    st.tuples(st.integers(1, 12).map(float), st.sampled_from([0.0, 1.0, 2.5, 7.0])), max_size=12
)
updates = st.builds(
    BookUpdate,
    symbol=st.just("X"),
    ts=st.just(0),
    is_snapshot=st.booleans(),
    update_id=st.just(1),
    bids=levels,
    asks=levels,
)


def rewritten(side: list[tuple[float, float]], update: list[tuple[float, float]], fresh: bool):
    """The same rule over a list of pairs."""
    side = [] if fresh else side
    for price, size in update:
        side = [level for level in side if level[0] != price]
        if size > 0:
            side = [*side, (price, size)]
    return side


@given(st.lists(updates, max_size=12))
def test_the_book_is_what_its_messages_add_up_to(messages):
    book, bids, asks = OrderBook(), [], []
    for update in messages:
        book.apply(update)
        bids = rewritten(bids, update.bids, update.is_snapshot)
        asks = rewritten(asks, update.asks, update.is_snapshot)
        assert book.top() == (sorted(bids, reverse=True), sorted(asks))
        assert book.top(2) == (sorted(bids, reverse=True)[:2], sorted(asks)[:2])
        assert book.best_bid == max((price for price, _ in bids), default=-inf)
        assert book.best_ask == min((price for price, _ in asks), default=inf)
        assert book.is_one_sided == (not bids or not asks)
        assert book.is_crossed == (book.best_bid >= book.best_ask)


def wandering(random: Random, steps: int):
    """Changes around a touch that wanders; some far from it, some that empty a stretch."""
    middle = 1_000
    for _ in range(steps):
        middle += random.choice([-9, -1, 0, 1, 9])
        reach = random.choice([3, 40, 90, 300])
        size = random.choice([0.0, 1.5, None])
        yield [
            (float(middle - random.randrange(reach)), random.choice([0.0, 1.0, 2.5]))
            if size is None
            else (float(middle - place), size)
            for place in range(random.choice([1, 5, 60]))
        ]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_levels_are_right_however_the_touch_wanders(seed):
    random, book, model = Random(seed), OrderBook(), {}
    for levels in wandering(random, 1_500):
        mirrored = [(-price, size) for price, size in levels]
        book.apply(BookUpdate("X", 0, False, 2, levels, mirrored))
        for price, size in levels:
            model.pop(price, None)
            model |= {price: size} if size else {}
        best = sorted(model.items(), reverse=True)
        count = random.choice([1, 5, 20, 64, 65, 200])
        assert book.best_bid == -book.best_ask == max(model, default=-inf)
        assert book.top(count)[0] == best[:count]
        assert book.top(count)[1] == [(-price, size) for price, size in best[:count]]
        if best:
            depth = sum(size for _, size in best[:5])
            assert book.quote() == (*best[0], -best[0][0], best[0][1], depth, depth)
    assert book.top()[0] == best


def test_a_level_that_comes_and_goes_in_one_message_is_not_the_best():
    book = OrderBook()
    book.apply(BookUpdate("X", 0, True, 1, [(9.0, 1.0)], [(11.0, 1.0)]))
    book.apply(BookUpdate("X", 0, False, 2, [(10.0, 1.0), (10.0, 0.0)], [(10.5, 2.0), (10.5, 0.0)]))
    assert (book.best_bid, book.best_ask) == (9.0, 11.0)


def test_a_quote_sums_the_best_five_levels_and_needs_both_sides():
    book = OrderBook()
    bids = [(float(price), float(price)) for price in range(1, 9)]
    book.apply(BookUpdate("X", 0, True, 1, bids, []))
    assert book.quote() is None
    book.apply(BookUpdate("X", 0, False, 2, [], [(10.0, 3.0), (11.0, 4.0)]))
    assert book.quote() == (8.0, 8.0, 10.0, 3.0, 8.0 + 7 + 6 + 5 + 4, 7.0)


def test_a_replaced_book_knows_its_best_prices():
    book = OrderBook()
    book.replace([(1.0, 2.0), (3.0, 4.0)], [(5.0, 6.0)])
    assert (book.best_bid, book.best_ask) == (3.0, 5.0)
    book.clear()
    assert (book.best_bid, book.best_ask) == (-inf, inf)
