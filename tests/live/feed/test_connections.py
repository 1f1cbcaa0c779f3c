"""Which connection is fed, when another one is opened, and how long is waited: by a set clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.live.feed import connections as connecting
from quantgod.live.feed.connections import Connections
from quantgod.live.feed.handover import Link, Position
from quantgod.live.feed.notices import Notice
from quantgod.live.feed.stream import StreamEnded
from quantgod.live.feed.weight import RequestBudget
from quantgod.settings import load_settings
from tests.live.engine.answering import until
from tests.test_settings import FULL

BTC, ETH = "BTCUSDT", "ETHUSDT"
HOUR = 3_600.0
SETTINGS = load_settings(FULL).live.feed.model_copy(
    update={
        "backoff_seconds": 0.001,
        "backoff_limit_seconds": 0.002,
        "silent_seconds": 0.01,
        "first_message_seconds": 0.02,
        "healthy_seconds": 60.0,
        "renew_hours": 2.0,
    }
)


class FakeStream:
    """A connection that opens, speaks, falls silent and ends when the test says so."""

    made: list[FakeStream]

    def __init__(self, url: str, symbols: Sequence[str], *rest: Any) -> None:
        _, self._on_open, self._on_message = rest
        self.symbols = symbols
        self.opened: float | None = None
        self.since: float | None = None
        self.heard: dict[str, float] = {}
        self.is_silent: StreamEnded | None = None
        self.silent: list[str] = []
        self.is_closed = False
        self.task: asyncio.Future[StreamEnded] = asyncio.get_running_loop().create_future()
        self.made.append(self)

    @property
    def ended(self) -> StreamEnded | None:
        return self.task.result() if self.task.done() else None

    def silence(self, now: float) -> StreamEnded | None:
        return self.is_silent

    def silent_symbols(self, now: float) -> list[str]:
        return self.silent

    async def close(self) -> None:
        self.is_closed = True

    def open(self, now: float) -> None:
        self.opened = self.since = now
        self._on_open(self)

    def say(self, symbol: str, final: int, now: float) -> None:
        self._on_message(self, f"{symbol} {final}".encode(), now)

    def end(self, code: Any = "connection_lost", retry_after: float | None = None) -> None:
        ended = StreamEnded(code, "why")
        ended.is_refusal, ended.retry_after = retry_after is not None, retry_after
        self.task.set_result(ended)


class Venue:
    """Connections under test, and the books that they feed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = SimpleNamespace(now=100_000.0)
        self.clock.monotonic = lambda: self.clock.now
        FakeStream.made = self.streams = []
        monkeypatch.setattr(connecting, "Stream", FakeStream)
        monkeypatch.setattr(connecting, "time", self.clock)
        self.told: list[str] = []
        self.notices: list[Notice] = []
        self.at = {BTC: Position(-1, 0), ETH: Position(-1, 0)}
        self.budget = RequestBudget(20, 2400, 1.0, unsaid_seconds=60.0)
        self.all = Connections(SETTINGS, [BTC, ETH], self.budget, self, Random(0))

    def opened(self) -> None:
        self.told.append("opened")

    def closed(self) -> None:
        self.told.append("closed")

    def restart(self, symbol: str) -> None:
        self.told.append(f"restart {symbol}")

    def take(self, symbol: str, data: bytes, received: float) -> bool:
        _, _, final = data.decode().partition(" ")
        self.told.append(data.decode())
        if final == "0":
            return False
        self.at[symbol] = Position(int(final), int(final))
        return True

    def symbols_of(self, data: bytes) -> Sequence[str]:
        return [data.decode().partition(" ")[0]]

    def link(self, data: bytes) -> Link | None:
        final = int(data.decode().partition(" ")[2])
        return Link(final - 1, final, final) if final else None

    def position(self, symbol: str) -> Position:
        return self.at[symbol]

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    def check(self) -> None:
        """Raise nothing."""

    def codes(self) -> list[str]:
        return [notice.code for notice in self.notices]

    async def streaming(self, count: int) -> FakeStream:
        """Wait until so many connections were made; gives the newest."""
        await until(lambda: len(self.streams) >= count)
        assert len(self.streams) == count
        return self.streams[-1]

    def run(self, play: Callable[[Venue], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            running = asyncio.create_task(self.all.run())
            await play(self)
            assert not running.done()
            running.cancel()
            await asyncio.wait({running})
            assert running.cancelled()
            assert all(stream.is_closed for stream in self.streams)

        asyncio.run(whole())


async def looks() -> None:
    """Let the connections be looked at a few times, every millisecond."""
    await asyncio.sleep(0.008)


async def fed(venue: Venue) -> FakeStream:
    """An open connection of which both symbols have been heard."""
    stream = await venue.streaming(1)
    stream.open(venue.clock.now)
    for symbol in (BTC, ETH):
        stream.say(symbol, 10, venue.clock.now)
    return stream


def test_it_looks_ten_times_within_the_shortest_silence() -> None:
    receiver: Any = SimpleNamespace(position=None)
    budget = RequestBudget(20, 2400, 1.0, 60.0)
    assert Connections(SETTINGS, [BTC], budget, receiver, Random(0))._look_seconds == 0.001


def test_a_connection_that_ends_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        state = venue.all.state
        assert (state.connects, state.since) == (1, 100_000.0)
        first.say(BTC, 0, 100_001.0)
        assert first.heard == {BTC: 100_000.0, ETH: 100_000.0}, (
            "what is no depth is no sign of life"
        )
        first.end("connection_closed")
        second = await venue.streaming(2)
        assert first.is_closed
        assert (state.since, state.problem) == (None, "connection_closed: why")
        first.say(BTC, 11, 100_002.0)
        second.end("connect_failed")
        third = await venue.streaming(3)
        third.open(100_050.0)
        assert (state.connects, state.since) == (2, 100_050.0)
        third.is_silent = StreamEnded("silence", "no depth")
        await venue.streaming(4)

    venue = Venue(monkeypatch)
    venue.run(play)
    assert venue.codes() == [
        "connected", "connection_closed", "connect_failed", "connected", "silence",
    ]  # fmt: skip
    assert {notice.level for notice in venue.notices[1:3]} == {"warning"}
    assert venue.notices[0].symbols == (BTC, ETH)
    levels = ["opened", "BTCUSDT 10", "ETHUSDT 10", "BTCUSDT 0", "closed", "opened", "closed"]
    assert venue.told == levels, "nothing is closed that was not open, or taken that was left"


def test_a_stream_without_depth_is_an_error_until_it_speaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(venue: Venue) -> None:
        first = await venue.streaming(1)
        first.open(100_000.0)
        first.is_silent = StreamEnded("silent_stream", "not one message")
        second = await venue.streaming(2)
        assert venue.all.state.is_silent
        second.end()
        third = await venue.streaming(3)
        assert venue.all.state.is_silent, "another end does not say that it spoke"
        third.open(100_001.0)
        third.say(BTC, 10, 100_002.0)
        third.say(BTC, 11, 100_002.0)
        assert not venue.all.state.is_silent

    venue = Venue(monkeypatch)
    venue.run(play)
    assert venue.codes().count("stream_speaks") == 1
    assert [one.level for one in venue.notices if one.code == "silent_stream"] == ["error"]


@pytest.mark.parametrize(("worked", "failures"), [(59.5, 2), (60.0, 1), (61.0, 1)])
def test_failures_are_forgiven_to_a_connection_that_worked_long_enough(
    worked: float, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(venue: Venue) -> None:
        (await venue.streaming(1)).end("connect_failed")
        second = await venue.streaming(2)
        second.open(100_000.0)
        for symbol in (BTC, ETH):
            second.say(symbol, 10, 100_000.0 + worked)
        second.end()
        await venue.streaming(3)
        assert venue.all._backoff.failures == failures
        venue.streams[-1].open(100_000.0)
        venue.streams[-1].end()
        await venue.streaming(4)
        assert venue.all._backoff.failures == failures + 1, "that one was open and said nothing"

    Venue(monkeypatch).run(play)


def test_only_a_connection_on_which_all_speak_forgives_failed_renewals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(venue: Venue) -> None:
        venue.all._renewals.next()
        for count, silent in ((1, [ETH]), (2, [])):
            stream = await venue.streaming(count)
            stream.open(100_000.0)
            stream.say(BTC, 9 + count, 100_060.0)
            stream.silent = silent
            venue.all._renew_from = float("inf")
            stream.end()
            await venue.streaming(count + 1)
            assert venue.all._renewals.failures == len(silent)

    Venue(monkeypatch).run(play)


@pytest.mark.parametrize(("retry_after", "least"), [(None, 0.0), (0.03125, 0.03), (0.0, 0.0005)])
def test_a_wait_that_the_venue_demands_is_kept_to_and_never_shortens_its_own(
    retry_after: float | None, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(venue: Venue) -> None:
        loop = asyncio.get_running_loop()
        (await venue.streaming(1)).end("handshake_failed", retry_after)
        began = loop.time()
        await venue.streaming(2)
        assert loop.time() - began >= least
        assert loop.time() - began < 5.0
        assert venue.budget.held(100_000.0) == (retry_after or 0.0)

    Venue(monkeypatch).run(play)


def test_a_connection_is_renewed_when_it_is_as_old_as_it_may_get(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        state = venue.all.state
        venue.clock.now += 2 * HOUR - 0.5
        await looks()
        assert len(venue.streams) == 1
        assert not state.is_renewing
        venue.clock.now += 0.5
        second = await venue.streaming(2)
        assert state.is_renewing
        await looks()
        assert len(venue.streams) == 2, "one at a time"
        second.open(venue.clock.now)
        assert (state.connects, state.since) == (2, 100_000.0)
        second.say(BTC, 10, venue.clock.now)
        first.say(BTC, 11, venue.clock.now)
        await looks()
        assert "renewed" not in venue.codes(), "nothing was heard of the other symbol"
        for symbol, final in ((BTC, 11), (BTC, 12), (ETH, 10), (ETH, 11)):
            second.say(symbol, final, venue.clock.now)
        await until(lambda: "renewed" in venue.codes())
        assert not state.is_renewing
        assert state.since == second.since
        first.say(BTC, 13, venue.clock.now)
        second.say(ETH, 11, venue.clock.now)
        second.say(ETH, 12, venue.clock.now)
        await until(lambda: first.is_closed)

    venue = Venue(monkeypatch)
    venue.run(play)
    assert venue.codes() == ["connected", "renewing", "renewed"]
    taken = ["BTCUSDT 10", "ETHUSDT 10", "BTCUSDT 11", "BTCUSDT 12", "ETHUSDT 11"]
    assert venue.told[1:6] == taken
    assert venue.told[6:-1] == ["ETHUSDT 11", "ETHUSDT 12"] or venue.told[6:-1] == ["ETHUSDT 12"]


def test_a_lagging_connection_repeats_nothing_and_what_it_repeats_is_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        venue.clock.now += 2 * HOUR
        second = await venue.streaming(2)
        second.open(venue.clock.now)
        for symbol in (BTC, ETH):
            second.say(symbol, 8, venue.clock.now)
            second.say(symbol, 10, venue.clock.now)
        for final in (11, 12, 13):
            first.say(BTC, final, venue.clock.now)
        await until(lambda: "renewed" in venue.codes())
        del venue.told[:]
        for final in (11, 12, 13, 14, 13):
            second.say(BTC, final, venue.clock.now + final)
        assert venue.told == ["BTCUSDT 14", "BTCUSDT 13"], "from the first new one on all is told"
        second.say(ETH, 10, venue.clock.now + 99)
        assert second.heard[ETH] == venue.clock.now + 99
        assert len(venue.told) == 2

    Venue(monkeypatch).run(play)


@pytest.mark.parametrize("how", ["ended", "silence"])
def test_a_second_connection_that_comes_to_nothing_is_tried_again_after_a_wait(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        venue.clock.now += 2 * HOUR
        second = await venue.streaming(2)
        if how == "ended":
            second.end("handshake_failed", 30.0)
        else:
            second.open(venue.clock.now)
            second.is_silent = StreamEnded("silence", "no depth")
        await until(lambda: "renewal_failed" in venue.codes())
        await looks()
        assert len(venue.streams) == 2
        assert second.is_closed
        assert not venue.all.state.is_renewing
        second.say(BTC, 11, venue.clock.now)
        venue.clock.now = venue.all._renew_from
        await venue.streaming(3)
        first.say(BTC, 12, venue.clock.now)

    venue = Venue(monkeypatch)
    venue.run(play)
    begun = 100_000.0 + 2 * HOUR
    waited = venue.all._renew_from - begun
    assert waited == 30.0 if how == "ended" else 0.0005 <= waited <= 0.002
    assert "BTCUSDT 11" not in venue.told
    assert "closed" not in venue.told[:-1]


def test_a_symbol_that_is_silent_alone_gets_another_connection_and_then_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        first.silent = [ETH]
        second = await venue.streaming(2)
        begun = venue.clock.now
        assert begun < venue.all._renew_from <= begun + 0.002
        second.open(begun)
        second.say(BTC, 10, begun)
        venue.clock.now += 1.0  # longer than it waits for chains to meet
        await until(lambda: "renewed" in venue.codes())
        second.silent = [ETH]
        venue.clock.now = venue.all._renew_from - 1e-4
        await looks()
        assert len(venue.streams) == 2
        venue.clock.now = venue.all._renew_from
        await venue.streaming(3)

    venue = Venue(monkeypatch)
    venue.run(play)
    silent = [one for one in venue.notices if one.code in ("silent_symbol", "chains_apart")]
    assert [one.symbols for one in silent] == [(ETH,)] * 3
    assert venue.told.count("restart ETHUSDT") == 1
    assert "restart BTCUSDT" not in venue.told


@pytest.mark.parametrize("code", ["connection_lost", "silence"])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_second_connection_takes_over_early_when_the_first_one_ends(
    code: Any, is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        venue.clock.now += 2 * HOUR
        second = await venue.streaming(2)
        if is_open:
            second.open(venue.clock.now)
            second.say(BTC, 11, venue.clock.now)
        if code == "silence":
            first.is_silent = StreamEnded(code, "no depth")
        else:
            first.end(code)
        await until(lambda: first.is_closed)
        assert not venue.all.state.is_renewing
        assert len(venue.streams) == 2
        if not is_open:
            second.open(venue.clock.now)
        second.say(BTC, 12, venue.clock.now)

    venue = Venue(monkeypatch)
    venue.run(play)
    told = venue.told[3:-1]
    if not is_open:
        assert told == ["closed", "opened", "BTCUSDT 12"]
        assert "took_over" not in venue.codes()
    else:
        start = ["restart ETHUSDT"] if code == "silence" else []
        assert sorted(told) == ["BTCUSDT 11", "BTCUSDT 12", *start]
        assert venue.codes()[-2:] == ["chains_apart", "renewed"]
        assert "took_over" in venue.codes()


def test_a_second_connection_that_heard_nothing_is_told_as_no_break(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(venue: Venue) -> None:
        first = await fed(venue)
        venue.clock.now += 2 * HOUR
        second = await venue.streaming(2)
        second.open(venue.clock.now)
        first.end()
        await until(lambda: "renewed" in venue.codes())
        second.say(BTC, 11, venue.clock.now)

    venue = Venue(monkeypatch)
    venue.run(play)
    assert venue.codes()[-2:] == ["took_over", "renewed"]
    assert venue.told[3:-1] == ["BTCUSDT 11"]
