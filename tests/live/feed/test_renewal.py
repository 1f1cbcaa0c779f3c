"""When a second connection takes over, and which of its messages are repetitions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.live.feed.handover import Link, Position
from quantgod.live.feed.renewal import CatchUp, Renewal

BTC, ETH = "BTCUSDT", "ETHUSDT"
PATIENCE = 8.0
SETTINGS: Any = SimpleNamespace(buffer_events=3, first_message_seconds=PATIENCE)


class Books:
    """The positions of two books."""

    def __init__(self, btc: int, eth: int) -> None:
        self.at = {BTC: Position(btc, btc), ETH: Position(eth, eth)}

    def __call__(self, symbol: str) -> Position:
        return self.at[symbol]


def renewal(books: Books, opened: float | None = 100.0) -> Renewal:
    stream: Any = SimpleNamespace(symbols=(BTC, ETH), opened=opened, heard={})
    return Renewal(stream, SETTINGS, books)


def link(final: int) -> Link:
    return Link(final - 10, final, final)


def test_it_is_due_when_the_chains_of_all_books_have_met() -> None:
    books = Books(50, 500)
    renewing = renewal(books)
    assert renewing.apart() == renewing.unheard() == [BTC, ETH]
    assert not renewing.is_due(100.0), "it has heard nothing"
    renewing.hold(b"one", 101.0, [(BTC, link(60))])
    assert renewing.stream.heard == {BTC: 101.0}
    assert renewing.apart() == renewing.unheard() == [ETH]
    assert not renewing.is_due(101.0)
    renewing.hold(b"other", 102.0, [(ETH, link(520))])
    assert (renewing.apart(), renewing.unheard()) == ([ETH], [])
    books.at[ETH] = Position(510, 510)
    renewing.note([ETH])
    assert renewing.apart() == []
    assert renewing.is_due(102.0)
    assert [held.data for held in renewing.rest(ETH)] == [b"other"]
    books.at[ETH] = Position(520, 520)
    assert renewing.rest(ETH) == []


@pytest.mark.parametrize("last", [0, 1])
def test_a_symbol_without_a_book_is_not_waited_for(last: int) -> None:
    books = Books(-1, last)
    renewing = renewal(books)
    assert renewing.apart() == [ETH]
    renewing.hold(b"what", 101.0, [(BTC, None), (ETH, None)])
    assert renewing.stream.heard == {}, "what cannot be read is no sign of life"
    renewing.hold(b"it", 101.0, [(ETH, link(last + 10))])
    assert renewing.is_due(101.0)


def test_it_is_not_due_before_it_is_open() -> None:
    renewing = renewal(Books(-1, -1), opened=None)
    renewing.stream.heard[BTC] = 1.0
    assert not renewing.is_due(1e9)


def test_it_waits_so_long_for_chains_that_do_not_meet_and_no_longer() -> None:
    renewing = renewal(Books(50, 500))
    renewing.hold(b"far", 101.0, [(BTC, link(900))])
    assert not renewing.is_due(100.0 + PATIENCE)
    assert renewing.is_due(100.0 + PATIENCE + 1e-6)


def test_it_is_due_when_as_many_messages_wait_as_may() -> None:
    renewing = renewal(Books(50, 500))
    for number in range(3):
        assert not renewing.is_due(101.0)
        renewing.hold(b"far", 101.0, [(BTC, link(900 + 10 * number))])
    assert renewing.is_due(101.0)


def test_repetitions_are_passed_over_until_the_first_new_message_of_each_symbol() -> None:
    books = Books(50, 500)
    catching_up = CatchUp(books)
    assert catching_up.is_over
    assert not catching_up.is_known(BTC, link(40)), "nobody is behind"
    catching_up.begin([BTC, ETH])
    assert not catching_up.is_over
    assert catching_up.is_known(BTC, link(40))
    assert catching_up.is_known(BTC, link(50))
    assert not catching_up.is_known(BTC, link(60))
    assert not catching_up.is_known(BTC, link(40)), "it has caught up"
    assert not catching_up.is_over
    assert not catching_up.is_known(ETH, None), "a message without a place is new"
    assert catching_up.is_over
