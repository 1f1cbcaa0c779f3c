"""The feed on real sockets: what reaches the books, how it renews, how politely it asks."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from quantgod.live.driving import drive
from quantgod.live.feed.feed import Feed
from quantgod.market.book_bars import BookBars, Effect
from quantgod.market.book_sync import BinanceBookSync
from quantgod.simulation.exchange.faults import FAULTS, Fault
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from tests.later import later
from tests.live.feed.mixes import (
    QUICK,
    RecordedTruth,
    Witness,
    comes_true,
    feed_settings,
    feeding,
    market,
    warm,
)
from tests.live.feed.relay import Relay

BTC, ETH = "BTCUSDT", "ETHUSDT"
HOUR = 3600.0


async def _watch(
    look: Callable[[Exchange, Witness, Feed], Any],
    changes: dict[str, Any] | None = None,
    *,
    faults: tuple[Fault, ...] = (),
    markets: tuple[SyntheticMarket, ...] | None = None,
    speed: float = 10.0,
) -> Witness:
    """Run a feed against an exchange for as long as `look` takes; gives who watched."""
    warm()
    truth = RecordedTruth(markets or (market(BTC, 1), market(ETH, 2)))
    async with Exchange(truth, faults=faults, seed=5, speed=speed) as exchange:
        witness = Witness(exchange, truth)
        async with feeding(exchange, witness, QUICK.patience | (changes or {})) as feed:
            await look(exchange, witness, feed)
    assert witness.wrong == []
    return witness


async def _until(condition: Callable[[], bool]) -> None:
    assert await comes_true(condition, 15.0), "it did not come to pass"


def _codes(witness: Witness) -> list[str]:
    return [notice.code for notice in witness.notices]


def test_one_connection_carries_the_books_of_all_symbols() -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await witness.played(60)
        assert await witness.settled(feed)
        assert exchange.connections_made == 1
        assert exchange.snapshot_requests == 2
        for state in feed.state.symbols.values():
            assert (state.is_synced, state.syncs, state.resyncs, state.gaps) == (True, 1, 0, 0)
            assert state.exchange_ms >= exchange.truth.now - 1000
        connection = feed.state.connection
        assert connection.since is not None
        assert not (connection.is_silent or connection.problem)

    witness = asyncio.run(_watch(look))
    assert _codes(witness) == ["connected"]
    assert all(bars.book is None for bars in witness.books.values()), "no book outlives its feed"


def test_what_was_told_raw_gives_the_same_bars_when_it_is_driven_again() -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await witness.played(1100)
        assert await witness.settled(feed)

    calm = SyntheticMarket(BTC, seed=3, levels=300, changes=6, cadence_ms=500)
    faults = (FAULTS["lost"].at(150), FAULTS["abrupt"].at(300), FAULTS["bad_json"].at(400))
    witness = asyncio.run(_watch(look, faults=faults, markets=(calm,), speed=200.0))
    again = BookBars(BinanceBookSync(BTC, 10_000), 5, 5)
    replayed = [drive(again, kind, data) for kind, data in witness.recorded[BTC]]
    assert _comparable(replayed) == _comparable(witness.outcomes[BTC])
    bars = [minute.bar for taken in replayed for minute in taken.closed]
    assert len(bars) >= 5
    assert {bar.reason for bar in bars} >= {"", "gap"}


def _comparable(outcomes: list[Effect]) -> str:
    return repr(outcomes)  # bit for bit, and NaN equal to itself


# Renewals


@pytest.mark.parametrize(
    "lags", [{}, *later({1: 0.06}, {2: 0.06}, {1: 0.0, 2: 0.15, 3: 0.0, 4: 0.03, 5: 0.11})]
)
def test_a_renewal_loses_no_update_and_applies_none_twice(lags: dict[int, float]) -> None:
    """Whichever of the two connections lags behind the other."""

    async def run() -> None:
        warm()
        truth = RecordedTruth((market(BTC, 1), market(ETH, 2)))
        async with Exchange(truth, speed=10.0) as exchange:
            port = int(exchange.stream_url.split(":")[2].split("/")[0])
            async with Relay(lambda _: port, lags) as relay:
                witness = Witness(exchange, truth)
                changes = QUICK.patience | {
                    "stream_url": f"ws://127.0.0.1:{relay.port}/public/stream",
                    "renew_hours": 0.3 / HOUR,
                }
                async with feeding(exchange, witness, changes) as feed:
                    await _until(lambda: _codes(witness).count("renewed") >= 4)
                    assert all(state.syncs == 1 for state in feed.state.symbols.values())
                    assert all(state.is_synced for state in feed.state.symbols.values())
                assert set(_codes(witness)) == {"connected", "renewing", "renewed"}
                assert witness.wrong == []
                for symbol in (BTC, ETH):
                    _assert_unbroken(witness, truth, symbol)

    asyncio.run(run())


def _assert_unbroken(witness: Witness, truth: RecordedTruth, symbol: str) -> None:
    """Every update from the first on was applied, once, in order."""
    applied = witness.applied[symbol]
    chain = [change.final for change in truth.log[symbol]]
    begin = chain.index(applied[0])
    assert len(applied) > 30
    assert applied == chain[begin : begin + len(applied)]


@pytest.mark.long
def test_a_renewal_that_finds_another_chain_synchronises_anew_and_says_so() -> None:
    async def run() -> None:
        warm()
        truths = RecordedTruth((market(BTC, 1),)), RecordedTruth((market(BTC, 9),))
        async with Exchange(truths[0], speed=10) as first, Exchange(truths[1], speed=10) as second:
            ports = [int(one.stream_url.split(":")[2].split("/")[0]) for one in (first, second)]
            streams = Relay(lambda number: ports[number > 1])
            async with streams, Relay(lambda _: ports[streams.count > 1]) as requests:
                witness = Witness(second, truths[1])
                changes = QUICK.patience | {
                    "stream_url": f"ws://127.0.0.1:{streams.port}/public/stream",
                    "depth_url": f"http://127.0.0.1:{requests.port}/fapi/v1/depth",
                    "renew_hours": 0.4 / HOUR,
                    "first_message_seconds": 0.3,
                }
                async with feeding(second, witness, changes) as feed:
                    await _until(lambda: streams.count == 2)
                    requests.cut(1)  # it still leads to the first venue
                    await _until(lambda: feed.state.symbols[BTC].syncs == 2)
                    problem = feed.state.symbols[BTC].problem
        apart = [notice for notice in witness.notices if notice.code == "chains_apart"]
        assert apart[0].symbols == (BTC,)
        assert problem.startswith(("gap", "sequence_reset"))  # whichever ids are higher

    asyncio.run(run())


@pytest.mark.long
@pytest.mark.parametrize("fault", ["silent", "unavailable"])
def test_a_second_connection_that_comes_to_nothing_leaves_the_first_alone(fault: str) -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: "renewal_failed" in _codes(witness))
        await _until(lambda: "renewed" in _codes(witness))
        assert all(state.syncs == 1 for state in feed.state.symbols.values())
        assert not feed.state.connection.is_silent

    renewing = {"renew_hours": 0.3 / HOUR}
    witness = asyncio.run(_watch(look, renewing, faults=(FAULTS[fault].at(10, BTC),)))
    assert [n.symbols for n in witness.notices if n.code == "renewal_failed"] == [(BTC, ETH)]


@pytest.mark.long
def test_the_second_connection_takes_over_when_the_first_is_cut_meanwhile() -> None:
    async def run() -> None:
        warm()
        truth = RecordedTruth((market(BTC, 1), market(ETH, 2)))
        async with Exchange(truth, speed=10.0) as exchange:
            port = int(exchange.stream_url.split(":")[2].split("/")[0])
            async with Relay(lambda _: port, held={2}) as relay:
                witness = Witness(exchange, truth)
                changes = QUICK.patience | {
                    "stream_url": f"ws://127.0.0.1:{relay.port}/public/stream",
                    "renew_hours": 0.3 / HOUR,
                    "silent_seconds": 5.0,  # looked at every half second
                    "first_message_seconds": 60.0,
                }
                async with feeding(exchange, witness, changes) as feed:
                    await _until(lambda: feed.state.connection.connects == 2)
                    # The first one must tell what the second one was not yet there to hear.
                    heard = {symbol: exchange.last_update_id(symbol) for symbol in (BTC, ETH)}
                    await _until(lambda: all(witness.applied[s][-1:] > [heard[s]] for s in heard))
                    relay.cut(1)  # the second one has not yet said a word
                    await _until(lambda: "took_over" in _codes(witness))
                    before = len(witness.applied[BTC])
                    relay.release(2)
                    await _until(lambda: len(witness.applied[BTC]) > before + 30)
                    assert all(state.syncs == 1 for state in feed.state.symbols.values())
                assert {"connection_lost", "renewed"} <= set(_codes(witness))
                assert witness.wrong == []
                _assert_unbroken(witness, truth, BTC)

    asyncio.run(run())


# Silence


@pytest.mark.long
def test_a_subscription_on_the_wrong_path_is_a_named_error_until_messages_come() -> None:
    async def run() -> None:
        warm()
        truth = RecordedTruth((market(BTC, 1),))
        async with Exchange(truth, speed=10.0) as exchange:
            witness = Witness(exchange, truth)
            wrong = exchange.stream_url.replace("/public/", "/market/")
            changes = QUICK.patience | {"stream_url": wrong}
            async with feeding(exchange, witness, changes) as feed:
                await _until(lambda: _codes(witness).count("silent_stream") >= 2)
                assert feed.state.connection.is_silent
                assert not feed.state.symbols[BTC].is_synced
                assert exchange.snapshot_requests == 0, "nothing to synchronise, nothing to ask"
        silent = [notice for notice in witness.notices if notice.code == "silent_stream"]
        assert all(notice.level == "error" for notice in silent)
        assert "/public" in silent[0].text

    asyncio.run(run())


def test_the_state_stops_being_silent_when_the_stream_speaks() -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: feed.state.connection.is_silent)
        await _until(lambda: "stream_speaks" in _codes(witness))
        assert not feed.state.connection.is_silent

    asyncio.run(_watch(look, faults=(FAULTS["silent"].at(0, BTC),)))


@pytest.mark.long
def test_a_symbol_that_falls_silent_alone_is_asked_for_anew_beside_the_others() -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: _codes(witness).count("silent_symbol") >= 2)
        symbols = feed.state.symbols
        assert (symbols[ETH].syncs, symbols[ETH].is_synced) == (1, True)
        assert not symbols[BTC].is_synced, "nobody knows any more whether its book is true"

    ends = SyntheticMarket(BTC, seed=1, levels=300, changes=6, count=60)
    witness = asyncio.run(_watch(look, markets=(ends, market(ETH, 2))))
    silent = [notice.symbols for notice in witness.notices if notice.code == "silent_symbol"]
    assert set(silent) == {(BTC,)}


# Requests


@pytest.mark.long
def test_no_request_is_made_inside_a_retry_after() -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: all(state.is_synced for state in feed.state.symbols.values()))
        assert exchange.weight.early == 0
        assert exchange.snapshot_requests <= 4

    fault = FAULTS["too_many_requests"].at(0, BTC)
    began = time.monotonic()
    witness = asyncio.run(_watch(look, faults=(fault,)))
    assert time.monotonic() - began >= fault.amount
    limited = [notice for notice in witness.notices if notice.code == "rate_limited"]
    assert limited
    assert limited[0].level == "error"


@pytest.mark.parametrize("header", [None, "soon", "-5", ""])
def test_a_demand_to_wait_that_does_not_say_how_long_is_obeyed_all_the_same(
    header: str | None,
) -> None:
    times: list[float] = []

    async def refuse(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.Response(status=418, headers={} if header is None else {"Retry-After": header})

    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: len(times) >= 2)

    asyncio.run(_answered_by(refuse, look, {"retry_after_seconds": 0.7}))
    assert times[1] - times[0] >= 0.7


def test_failures_stay_within_the_share_of_the_request_weight() -> None:
    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: "weight_spent" in _codes(witness))
        await asyncio.sleep(0.5)
        assert exchange.snapshot_requests == 3

    failing = Fault("snapshot_failing", "request", count=1000, after=0, symbol=BTC)
    changes = {"weight_limit": 64, "weight_share": 0.25}  # three times 5 fit into 16
    asyncio.run(_watch(look, changes, faults=(failing,), markets=(market(BTC, 1),)))


def test_an_answer_without_end_is_given_up() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: "snapshot_failed" in _codes(witness))

    witness = asyncio.run(_answered_by(flood, look, {"snapshot_seconds": 10.0}))
    assert any("more than 200000 bytes" in notice.text for notice in witness.notices)


async def _answered_by(
    handler: Callable[[web.Request], Any],
    look: Callable[[Exchange, Witness, Feed], Any],
    changes: dict[str, Any],
    *,
    is_stream: bool = False,
) -> Witness:
    """As `_watch`, with requests for depth (or for the stream) answered by `handler`."""
    app = web.Application()
    app.router.add_get("/here", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place = f"127.0.0.1:{runner.addresses[0][1]}/here"
    there = {"stream_url": f"ws://{place}"} if is_stream else {"depth_url": f"http://{place}"}
    try:
        return await _watch(look, changes | there, markets=(market(BTC, 1),))
    finally:
        await runner.cleanup()


# Connections that never come to stand


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ws://127.0.0.1:{closed}/public/stream", "connect_failed"),
        ("wss://127.0.0.1:{open}/public/stream", "tls_failed"),
        ("ws://me:sesame@127.0.0.1:{open}/nowhere?key=sesame", "handshake_failed"),
        ("ws://exchange.invalid:{open}/public/stream", "dns_failed"),
        ("ws://" + "x" * 70 + ".invalid:{open}/public/stream", "dns_failed"),
        ("ws://127.0.0.1:{mute}/public/stream", "connect_timeout"),
    ],
)
def test_a_connection_that_fails_is_named_and_tried_again(address: str, code: str) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            closed = unused.getsockname()[1]
        truth = RecordedTruth((market(BTC, 1),))
        with socket.create_server(("127.0.0.1", 0)) as mute:  # it never accepts
            async with Exchange(truth) as exchange:
                open_port = exchange.stream_url.split(":")[2].split("/")[0]
                ports = {"mute": mute.getsockname()[1], "closed": closed, "open": open_port}
                witness = Witness(exchange, truth)
                url = address.format(**ports)
                patience = 0.3 if code == "connect_timeout" else 10.0
                changes = QUICK.patience | {"stream_url": url, "connect_seconds": patience}
                async with feeding(exchange, witness, changes):
                    await _until(lambda: len(witness.notices) >= 2)
        assert set(_codes(witness)) == {code}
        assert "sesame" not in repr(witness.notices)

    asyncio.run(run())


@pytest.mark.long
def test_a_refused_handshake_is_not_tried_again_before_its_time() -> None:
    times: list[float] = []

    async def refuse(_: web.Request) -> web.Response:
        times.append(time.monotonic())
        return web.Response(status=429, headers={"Retry-After": "1"})

    async def look(exchange: Exchange, witness: Witness, feed: Feed) -> None:
        await _until(lambda: len(times) >= 2)

    witness = asyncio.run(_answered_by(refuse, look, {}, is_stream=True))
    assert times[1] - times[0] >= 1.0
    assert "HTTP 429" in witness.notices[0].text


# The end


@pytest.mark.long
@pytest.mark.parametrize("fault", ["half_open", "snapshot_slow"])
def test_a_cancelled_feed_closes_its_sockets_within_two_seconds_and_leaves_no_task(
    fault: str,
) -> None:
    async def run() -> None:
        warm()
        truth = RecordedTruth((market(BTC, 1),))
        faults = (FAULTS[fault].at(0, BTC),)
        async with Exchange(truth, faults=faults, speed=10.0) as exchange:
            witness = Witness(exchange, truth)
            before = asyncio.all_tasks()
            changes = QUICK.patience | {"snapshot_seconds": 5.0, "silent_seconds": 5.0}
            feed = Feed(feed_settings(exchange, changes), witness.books, witness)
            task = asyncio.create_task(feed.run())
            await _until(lambda: bool(exchange.injected))
            began = time.monotonic()
            task.cancel()
            await asyncio.wait({task})
            assert time.monotonic() - began < 2.0
            assert task.cancelled()
            left = {one.get_coro() for one in asyncio.all_tasks() - before}
            assert not {str(one) for one in left if "quantgod.live.feed.stream" in str(one)}
            assert not feed.state.symbols[BTC].is_synced

    asyncio.run(run())


def test_what_a_listener_raises_ends_the_feed() -> None:
    class Failing(Witness):
        def taken(self, symbol: str, taken: Effect, received: float) -> None:
            if taken.events and taken.closed is not None and len(self.recorded[symbol]) == 20:
                raise RuntimeError("a listener's own fault")

    async def run() -> None:
        truth = RecordedTruth((market(BTC, 1),))
        async with Exchange(truth, speed=10.0) as exchange:
            witness = Failing(exchange, truth)
            feed = Feed(feed_settings(exchange, QUICK.patience), witness.books, witness)
            with pytest.raises(RuntimeError, match="a listener's own fault"):
                await asyncio.wait_for(feed.run(), 10.0)

    asyncio.run(run())


def test_a_feed_that_could_never_run_is_refused() -> None:
    async def run() -> None:
        truth = RecordedTruth((market(BTC, 1),))
        async with Exchange(truth) as exchange:
            witness = Witness(exchange, truth)
            settings = feed_settings(exchange, {})
            with pytest.raises(ValueError, match="at least one symbol"):
                Feed(settings, {}, witness)
            wrong = settings.model_copy(update={"stream_url": "https://me:sesame@host/stream"})
            with pytest.raises(ValueError, match="wss or ws expected, got 'https://host/stream'"):
                Feed(wrong, witness.books, witness)

    asyncio.run(run())
