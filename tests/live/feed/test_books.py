"""Messages and snapshots on their way to the books, without a socket."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest

from quantgod.live.driving import RawKind
from quantgod.live.feed.books import Books
from quantgod.live.feed.handover import Link
from quantgod.live.feed.notices import Notice
from quantgod.live.feed.routing import Router
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.simulation.exchange.wire import depth_event, depth_snapshot, in_stream
from tests.live.feed.mixes import RecordedTruth, market

BTC, ETH = "BTCUSDT", "ETHUSDT"
BOTH = (BTC, ETH)


class Requests:
    """What was asked of the venue's REST, and what became of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.forgotten: list[str] = []
        self.successes: list[str] = []

    def ask(self, symbol: str) -> None:
        self.asked.append(symbol)

    def forget(self, symbol: str) -> None:
        self.forgotten.append(symbol)

    def succeeded(self, symbol: str) -> None:
        self.successes.append(symbol)

    def failure(self) -> BaseException | None:
        return None


class Listener:
    def __init__(self) -> None:
        self.told: list[tuple[str, RawKind]] = []
        self.notices: list[Notice] = []
        self.times: list[int] = []

    def raw(self, symbol: str, kind: RawKind, received_ns: int, data: bytes) -> None:
        self.told.append((symbol, kind))
        self.times.append(received_ns)

    def taken(self, symbol: str, taken: Effect, received: float) -> None:
        pass

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)


class Venue:
    """A market whose messages are handed over one by one."""

    def __init__(self) -> None:
        self.truth = RecordedTruth([market(BTC, 4)])

    def event(self) -> bytes:
        return in_stream(b"btcusdt@depth@100ms", depth_event(self.truth.advance()))

    def snapshot(self) -> bytes:
        return depth_snapshot(self.truth.snapshot(BTC, 100, Random(1)), self.truth.now)


def _books() -> tuple[Books, Requests, Listener]:
    requests, listener = Requests(), Listener()
    bars = {symbol: BookBars(BinanceBookSync(symbol, 100), 5, 5) for symbol in BOTH}
    return Books(bars, listener, requests), requests, listener


def test_a_snapshot_is_asked_for_once_the_stream_has_spoken_of_the_symbol() -> None:
    (books, requests, listener), venue = _books(), Venue()
    books.opened()
    assert requests.asked == []
    assert books.take(BTC, venue.event(), 0.0)
    assert requests.asked == [BTC]
    assert books.answer(BTC, venue.snapshot(), 0.0)
    assert books.take(BTC, venue.event(), 0.0)
    assert requests.successes == [BTC]
    assert books.states[BTC].is_synced
    assert books.position(BTC).last == venue.truth.last_update_id(BTC)
    assert [kind for symbol, kind in listener.told if symbol == BTC] == [
        "opened",
        "stream",
        "snapshot",
        "stream",
    ]


def test_a_snapshot_that_does_not_serve_is_asked_for_again() -> None:
    (books, _, _), venue = _books(), Venue()
    books.opened()
    books.take(BTC, venue.event(), 0.0)
    assert not books.answer(BTC, b'{"lastUpdateId":', 0.0)
    assert books.answer(BTC, venue.snapshot(), 0.0)


def test_an_answer_that_nobody_waits_for_any_more_reaches_no_book() -> None:
    (books, requests, listener), venue = _books(), Venue()
    books.opened()
    books.take(BTC, venue.event(), 0.0)
    old = venue.snapshot()
    books.closed()
    assert requests.forgotten == [BTC, ETH]
    assert books.answer(BTC, old, 0.0)
    assert (BTC, "snapshot") not in listener.told


def test_a_message_that_nobody_can_read_is_refused_by_every_book() -> None:
    router = Router(BOTH)
    assert router.symbols_of(b'{"stream":"ethusdt@depth@100ms","data":{"e":"de') == (ETH,)
    assert router.symbols_of(b'{"str') == BOTH
    assert router.symbols_of(b"\xff\xfe") == BOTH
    assert router.symbols_of(b"[1,2]") == BOTH
    assert router.symbols_of(b'{"data":{"e":"depthUpdate","s":"BTCUSDT"}}') == (BTC,)
    assert router.symbols_of(b'{"e":"depthUpdate","s":"ETHUSDT","U":1}') == (ETH,)
    assert router.symbols_of(b'{ "data": 5, "stream": "btcusdt@depth@100ms" }') == BOTH


@pytest.mark.parametrize(
    "data",
    [
        b'{"result":null,"id":1}',
        b'{"stream":"xrpusdt@depth@100ms","data":{"e":"depthUpdate","s":"XRPUSDT"}}',
        b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","s":"BTCUSDT"}}',
    ],
)
def test_a_message_of_nobodys_depth_is_shown_once_a_connection(data: bytes) -> None:
    books, _, listener = _books()
    books.opened()
    assert not books.symbols_of(data)
    assert not books.symbols_of(data)
    assert [notice.code for notice in listener.notices] == ["unexpected_message"]
    assert data[:20].decode() in listener.notices[0].text
    assert listener.notices[0].symbols == BOTH
    books.opened()
    assert not books.symbols_of(data)
    assert len(listener.notices) == 2


def test_a_place_in_the_chain_is_read_without_taking_the_message() -> None:
    (books, _, listener), venue = _books(), Venue()
    data = venue.event()
    change = venue.truth.log[BTC][-1]
    assert books.link(data) == Link(change.previous, change.final, change.ts)
    assert books.link(data[:-20]) is None
    assert books.link(b'{"result":null}') is None
    assert listener.told == []


def test_a_message_is_dated_by_when_it_arrived_and_not_by_when_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two seconds before now, to the nanosecond."""
    (books, _, listener), venue = _books(), Venue()
    clock = SimpleNamespace(time_ns=lambda: 10**18, monotonic=lambda: 500.0)
    monkeypatch.setattr("quantgod.live.feed.books.time", clock)
    books.opened()
    books.take(BTC, venue.event(), 498.0)
    assert listener.times == [10**18, 10**18, 10**18 - 2 * 10**9]


def test_of_a_message_that_is_no_depth_nothing_is_said_and_of_an_unreadable_one_once() -> None:
    (books, requests, listener), venue = _books(), Venue()
    books.opened()
    assert books.take(BTC, b'{"result":null,"id":1}', 0.0) is False
    assert listener.notices == []
    for _ in range(2):
        assert books.take(BTC, venue.event()[:-20], 0.0) is False
    assert [(one.code, one.symbols) for one in listener.notices] == [("unreadable_message", (BTC,))]
    assert requests.asked == [], "nothing was heard of it"
    assert books.take(BTC, venue.event(), 0.0) is True
    assert requests.asked == [BTC]


def test_a_symbol_that_starts_over_is_closed_and_opened_alone() -> None:
    (books, requests, listener), venue = _books(), Venue()
    books.opened()
    books.take(BTC, venue.event(), 0.0)
    books.restart(BTC)
    assert requests.forgotten == [BTC]
    assert listener.told[-2:] == [(BTC, "closed"), (BTC, "opened")]


def test_a_failure_of_the_source_of_snapshots_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    books, requests, _ = _books()
    books.check()
    monkeypatch.setattr(requests, "failure", lambda: KeyError("a listener's own fault"))
    with pytest.raises(KeyError, match="a listener's own fault"):
        books.check()
