from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.market.book import DEEP_LEVELS
from quantgod.market.known_range import KnownBook

Sides = tuple[list[tuple[float, float]], list[tuple[float, float]]]


def known(bids: int, asks: int, gap: float = 1.0, *, beyond: bool = False) -> KnownBook:
    """Bids from 100 down and asks from 101 up, so many of each, one a unit."""
    sides = (
        [(100.0 - gap * place, 1.0) for place in range(bids)],
        [(101.0 + gap * place, 1.0) for place in range(asks)],
    )
    return KnownBook("X", DepthSnapshot(50, 1_000, *sides), beyond)


def tell(book: KnownBook, bids: dict[float, float], asks: dict[float, float]) -> None:
    book.apply(DepthEvent("X", 1_001, 51, 60, 50, list(bids.items()), list(asks.items())))


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("levels", "fault"), [(DEEP_LEVELS, None), (DEEP_LEVELS - 1, "thin")])
def test_a_side_may_have_as_few_levels_as_a_sample_needs_and_no_less(side, levels, fault):
    counts = [DEEP_LEVELS + 9] * 2
    counts[side] = levels
    assert known(*counts).fault == ("out_of_range" if fault else None)
    assert known(*counts).is_calm == (fault is None)


@pytest.mark.parametrize("bid", [100.0, 101.0, 102.0])
def test_a_book_is_crossed_from_where_its_best_prices_meet(bid):
    book = known(30, 30)
    tell(book, {bid: 1.0}, {})
    assert book.fault == ("crossed" if bid >= 101 else None)
    assert book.is_calm == (bid < 101)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("widened", [False, True])
def test_it_is_calm_while_half_of_the_range_is_left_to_the_tick(side, widened):
    """The best price goes from 100 (101) towards 60 (141), of the last snapshot."""
    book = known(41, 41)
    if widened:
        book = known(11, 11)
        book.widen(known(41, 41), DepthEvent("X", 1_001, 51, 60, 50, [], []))
    for step in range(21):
        assert book.is_calm, step
        best = 100.0 - step if side == 0 else 101.0 + step
        changes = {best: 0.0}
        tell(book, changes if side == 0 else {}, {} if side == 0 else changes)
    assert not book.is_calm
    assert book.fault is None


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("count", [DEEP_LEVELS + 1, 2 * DEEP_LEVELS, 40, 41])
def test_it_is_calm_while_half_of_the_levels_are_left_to_the_last_one(side, count):
    """The price stands, and levels between it and the end of the range go."""
    book = known(count, count)
    left = count
    while left > max(DEEP_LEVELS, count // 2):
        assert book.is_calm
        price = 100.0 - (count - left) - 1 if side == 0 else 101.0 + (count - left) + 1
        tell(book, *(({price: 0.0}, {}) if side == 0 else ({}, {price: 0.0})))
        left -= 1
    assert book.is_calm
    price = 100.0 - (count - left) - 1 if side == 0 else 101.0 + (count - left) + 1
    tell(book, *(({price: 0.0}, {}) if side == 0 else ({}, {price: 0.0})))
    assert not book.is_calm


prices = st.integers(80, 121).map(float)
changes = st.dictionaries(prices, st.sampled_from([0.0, 2.0]), max_size=12)


@given(changes, changes, st.booleans())
def test_changes_beyond_what_was_shown_are_left_out_unless_asked_for(bids, asks, beyond):
    book = known(11, 11, beyond=beyond)
    before = dict(book.book.bids), dict(book.book.asks)
    tell(book, bids, asks)
    for old, new, told, inside in (
        (before[0], book.book.bids, bids, lambda price: price >= 90),
        (before[1], book.book.asks, asks, lambda price: price <= 111),
    ):
        kept = {price: size for price, size in told.items() if beyond or inside(price)}
        expected = {price: size for price, size in {**old, **kept}.items() if size}
        assert dict(new) == expected


@given(st.integers(5, 20), st.integers(5, 20), prices, st.sampled_from([0, 1]))
def test_two_books_agree_if_they_do_where_both_are_known(mine, theirs, price, side):
    one, other = known(mine, mine), known(theirs, theirs)
    assert one.agrees_with(other)
    assert other.agrees_with(one)
    changed = {price: 7.0}
    tell(other, changed if side == 0 else {}, {} if side == 0 else changed)
    least = min(mine, theirs)
    low, high = 101.0 - least, 100.0 + least
    is_told = price >= 101.0 - theirs if side == 0 else price <= 100.0 + theirs
    seen = is_told and (price >= low if side == 0 else price <= high)
    assert one.agrees_with(other) == other.agrees_with(one) == (not seen)


@given(st.integers(5, 30), st.integers(5, 30))
def test_a_widened_book_is_the_wider_one_and_tells_only_what_was_not_known(mine, theirs):
    one, other = known(mine, mine), known(theirs, theirs)
    told = one.widen(other, DepthEvent("X", 1_001, 51, 60, 50, [], []))
    wider = max(mine, theirs)
    assert one.book.top() == known(wider, wider).book.top()
    assert (one.lowest_bid, one.highest_ask) == (101.0 - wider, 100.0 + wider)
    assert len(told.bids) == len(told.asks) == max(0, theirs - mine)
    assert (told.ts, told.update_id, told.is_snapshot) == (1_001, 60, False)


def test_cheap_books_agree_and_widen_as_others_do():
    """All prices far below one."""

    def cheap(levels: int) -> KnownBook:
        sides = ([(0.5 + sign * (k + 1) / 100, 1.0) for k in range(levels)] for sign in (-1, 1))
        return KnownBook("X", DepthSnapshot(50, 1_000, *sides), False)

    one, other = cheap(10), cheap(20)
    assert one.agrees_with(other)
    told = one.widen(other, DepthEvent("X", 1_001, 51, 60, 50, [], []))
    assert len(told.bids) == len(told.asks) == 10
    assert one.book.top() == other.book.top()
    tell(other, {}, {0.55: 9.0})
    assert not one.agrees_with(other)


def test_nothing_is_known_of_a_snapshot_without_levels():
    book = KnownBook("X", DepthSnapshot(50, 1_000, [], []), False)
    assert (book.lowest_bid, book.highest_ask) == (inf, -inf)
    assert book.fault == "out_of_range"
    assert not book.is_calm
