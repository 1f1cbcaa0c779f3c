from __future__ import annotations

from math import inf

from hypothesis import given, settings
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


many_levels = st.lists(
    st.tuples(st.integers(1, 900).map(float), st.sampled_from([0.0, 0.0, 1.0, 2.5])), max_size=300
)


@settings(max_examples=60, deadline=None)
@given(
    first=st.lists(st.integers(1, 900).map(float), max_size=600),
    changes=st.lists(st.tuples(many_levels, st.integers(1, 250)), max_size=8),
)
def test_the_best_levels_are_right_however_deep_the_book_and_the_question(first, changes):
    book, model = OrderBook(), dict.fromkeys(first, 4.0)
    book.replace(model.items(), ((-price, 4.0) for price in model))
    for levels, count in changes:
        mirrored = [(-price, size) for price, size in levels]
        book.apply(BookUpdate("X", 0, False, 2, levels, mirrored))
        for price, size in levels:
            model.pop(price, None)
            model |= {price: size} if size else {}
        best = sorted(model.items(), reverse=True)
        assert book.best_bid == -book.best_ask == max(model, default=-inf)
        assert book.top(count)[0] == best[:count]
        assert book.top(count)[1] == [(-price, size) for price, size in best[:count]]
        assert book.top()[0] == best
        if best:
            depth = sum(size for _, size in best[:5])
            assert book.quote() == (*best[0], -best[0][0], best[0][1], depth, depth)


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
