"""Each fault does at the socket what its name says."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from quantgod.market.book import DEEP_LEVELS
from quantgod.simulation.exchange.faults import FAULTS, Fault, mix, named
from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import Truth
from tests.simulation.exchange.client import (
    Joined,
    Json,
    events,
    get_depth,
    listening,
    receive,
    request_depth,
    until_closed,
)

pytestmark = pytest.mark.long  # mixes of them are tested with the spoiling

AS_FAST_AS_IT_GOES = 1e9
HOUR_MS = 3_600_000
SYMBOL = "BTCUSDT"


def market(*, count: int | None = None, seed: int = 0) -> Truth:
    return Truth([SyntheticMarket(SYMBOL, seed=seed, count=count, levels=400)])


def fault(name: str, after: int = 20) -> Fault:
    return FAULTS[name].at(after)


def hear(count: int, *faults: Fault, **options: Any) -> list[Json]:
    """The first events of a market under these faults."""

    async def heard() -> list[Json]:
        async with (
            Exchange(market(), faults=faults, speed=AS_FAST_AS_IT_GOES, **options) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            return await events(socket, count)

    return asyncio.run(heard())


TRUE = hear(60)


def test_a_lost_event_breaks_the_chain_once() -> None:
    heard = hear(59, fault("lost"))
    assert heard == TRUE[:19] + TRUE[20:]
    breaks = [e["u"] for d, e in itertools.pairwise(heard) if e["pu"] != d["u"]]
    assert breaks == [TRUE[20]["u"]]


def test_a_doubled_event_comes_twice() -> None:
    assert hear(60, fault("doubled")) == [*TRUE[:20], *TRUE[19:59]]


def test_reordered_events_change_places() -> None:
    assert hear(60, fault("reordered")) == [*TRUE[:19], TRUE[20], TRUE[19], *TRUE[21:]]


def test_delayed_events_wait_and_all_come_at_last() -> None:
    async def times() -> list[float]:
        async with (
            Exchange(market(), faults=[fault("delayed")], speed=4) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            arrived = []
            for expected in TRUE[:45]:
                assert await events(socket, 1) == [expected]
                arrived.append(time.monotonic())
            return arrived

    arrived = asyncio.run(times())
    assert arrived[19] - arrived[18] > 0.4  # twenty events of 25 ms each
    assert arrived[38] - arrived[19] < 0.2


def test_what_is_delayed_still_comes_when_the_market_ends() -> None:
    async def heard() -> list[Json]:
        async with (
            Exchange(market(count=30), faults=[fault("delayed")], speed=1e9) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            return [event async for event in until_closed(socket)]

    assert asyncio.run(heard()) == TRUE[:30]


def test_a_burst_comes_ahead_of_the_clock() -> None:
    async def seconds() -> float:
        async with (
            Exchange(market(), faults=[fault("burst")], speed=10) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            await events(socket, 20)
            begun = time.monotonic()
            await events(socket, 400)
            return time.monotonic() - begun

    assert asyncio.run(seconds()) < 2.0  # four seconds by its clock


def test_split_frames_make_the_same_message() -> None:
    async def frames() -> tuple[list[Json], list[bytes]]:
        async with (
            Exchange(market(), faults=[fault("split")], speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            await events(socket, 19)
            pieces = [piece async for piece in socket.recv_streaming(decode=False)]
            return await events(socket, 40), pieces

    rest, pieces = asyncio.run(frames())
    assert len(pieces) == 3
    assert json.loads(b"".join(pieces))["data"] == TRUE[19]
    assert rest == TRUE[20:]


def test_an_oversized_frame_is_refused_by_who_limits_them() -> None:
    async def refused() -> ConnectionClosed:
        async with (
            Exchange(market(), faults=[fault("oversized")], speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, SYMBOL, max_size=4_000_000) as socket,
        ):
            await events(socket, 19)
            with pytest.raises(ConnectionClosed) as closed:
                await receive(socket)
            return closed.value

    sent = asyncio.run(refused()).sent
    assert sent is not None
    assert sent.code == 1009


@pytest.mark.parametrize("name", ["bad_json", "bad_number", "wrong_symbol"])
def test_a_spoilt_event_cannot_be_taken_for_a_true_one(name: str) -> None:
    async def spoilt() -> tuple[str, list[Json]]:
        async with (
            Exchange(market(), faults=[fault(name)], speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            assert await events(socket, 19) == TRUE[:19]
            return await receive(socket), await events(socket, 40)

    text, rest = asyncio.run(spoilt())
    assert rest == TRUE[20:]
    if name == "bad_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        return
    event = json.loads(text)["data"]
    assert event["u"] == TRUE[19]["u"]
    if name == "bad_number":
        assert event["b"] == [["-1.00", "1.000"]]
    else:
        assert event["s"] != SYMBOL


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("clock_plus_2s", 2_000),
        ("clock_minus_2s", -2_000),
        ("clock_plus_1h", HOUR_MS),
        ("clock_minus_1h", -HOUR_MS),
    ],
)
def test_the_clock_steps_there_and_back(name: str, step: int) -> None:
    heard = hear(60, Fault(name, "event", count=30, amount=step, after=20))
    steps = [event["T"] - true["T"] for event, true in zip(heard, TRUE, strict=True)]
    assert steps == [0] * 19 + [step] * 30 + [0] * 11


def test_after_a_reset_ids_are_low_and_join_their_own_snapshots() -> None:
    async def reset() -> None:
        truth, faults = market(count=400), [fault("sequence_reset")]
        async with (
            Exchange(truth, faults=faults, speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            heard = await events(socket, 20)
            assert heard[-1]["U"] == 1000 < heard[-2]["u"]
            book = Joined(await get_depth(exchange, SYMBOL, 100))
            for event in heard[19:] + await events(socket, 380):
                book.apply(event)
            assert book.last == exchange.last_update_id(SYMBOL)
            assert book.equals(exchange.book(SYMBOL))

    asyncio.run(reset())


@pytest.mark.parametrize(
    ("name", "code", "received"),
    [("eof", 1006, None), ("abrupt", 1006, None), ("closed", 1000, 1000), ("day_cut", 1001, 1001)],
)
def test_a_connection_ends_as_the_fault_says(name: str, code: int, received: int | None) -> None:
    async def end() -> tuple[int | None, ConnectionClosed]:
        async with (
            Exchange(market(), faults=[fault(name)], speed=20) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            with pytest.raises(ConnectionClosed) as closed:
                await events(socket, 60)
            return socket.close_code, closed.value

    seen, error = asyncio.run(end())
    assert seen == code
    assert (error.rcvd.code if error.rcvd else None) == received
    assert isinstance(error.__cause__, ConnectionResetError) == (name == "abrupt")


def test_a_half_open_socket_says_nothing_more_not_even_goodbye() -> None:
    async def half_open() -> None:
        async with (
            Exchange(market(), faults=[fault("half_open")], speed=100) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            await events(socket, 20)
            with pytest.raises(TimeoutError):
                await receive(socket, 0.3)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(await socket.ping(), 0.3)
            await socket.close()
            assert socket.close_code == 1006

    asyncio.run(half_open())


def test_a_silent_connection_acknowledges_and_answers_pings_and_sends_no_depth() -> None:
    async def silent() -> None:
        async with Exchange(market(), faults=[FAULTS["silent"]], speed=100) as exchange:
            async with listening(exchange, SYMBOL) as socket:
                await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":7}')
                assert json.loads(await receive(socket)) == {"result": None, "id": 7}
                await asyncio.wait_for(await socket.ping(), 1)
                with pytest.raises(TimeoutError):
                    await receive(socket, 0.3)
            async with listening(exchange, SYMBOL) as socket:
                await events(socket, 3)

    asyncio.run(silent())


def test_an_unavailable_exchange_refuses_one_connection() -> None:
    async def unavailable() -> None:
        async with Exchange(market(), faults=[FAULTS["unavailable"]], speed=100) as exchange:
            with pytest.raises(websockets.InvalidStatus, match="503"):
                async with listening(exchange, SYMBOL):
                    pass
            async with listening(exchange, SYMBOL) as socket:
                await events(socket, 3)

    asyncio.run(unavailable())


def test_missed_pings_leave_the_stream_up() -> None:
    async def missed() -> None:
        rules = Rules(ping_seconds=0.5)
        async with (
            Exchange(market(), faults=[fault("missed_pings")], speed=10, rules=rules) as exchange,
            listening(exchange, SYMBOL) as socket,
        ):
            await events(socket, 10)
            await asyncio.wait_for(await socket.ping(), 1)
            await events(socket, 20)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(await socket.ping(), 0.3)
            await events(socket, 20)

    asyncio.run(missed())


Asked = Callable[[aiohttp.ClientSession, Exchange], Awaitable[None]]


def ask(faults: list[Fault], check: Asked) -> None:
    """Let some events happen under `faults`, then ask for depth."""

    async def asked() -> None:
        async with (
            Exchange(market(), faults=faults, speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, SYMBOL) as socket,
            aiohttp.ClientSession() as session,
        ):
            await events(socket, 30)
            await check(session, exchange)
            status, _, body = await request_depth(session, exchange, SYMBOL, 100)
            assert status == 200
            assert len(json.loads(body)["bids"]) == 100

    asyncio.run(asked())


def test_a_failing_snapshot_is_a_500() -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        status, _, body = await request_depth(session, exchange, SYMBOL)
        assert (status, json.loads(body)["code"]) == (500, -1001)

    ask([FAULTS["snapshot_failing"]], check)


def test_a_stale_snapshot_is_older_than_every_event() -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        _, _, body = await request_depth(session, exchange, SYMBOL, 100)
        assert json.loads(body)["lastUpdateId"] < TRUE[0]["pu"]

    ask([FAULTS["snapshot_stale"]], check)


def test_a_slow_snapshot_is_as_old_as_its_request() -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        begun, asked = time.monotonic(), exchange.last_update_id(SYMBOL)
        _, _, body = await request_depth(session, exchange, SYMBOL)
        assert time.monotonic() - begun > 0.3
        assert asked <= json.loads(body)["lastUpdateId"] < exchange.last_update_id(SYMBOL)

    ask([Fault("snapshot_slow", "request", amount=0.3, after=0)], check)


def test_a_cut_snapshot_breaks_off_in_the_middle() -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await request_depth(session, exchange, SYMBOL)

    ask([FAULTS["snapshot_cut"]], check)


def test_half_a_snapshot_is_no_json() -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        status, _, body = await request_depth(session, exchange, SYMBOL)
        assert status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)

    ask([FAULTS["snapshot_half"]], check)


@pytest.mark.parametrize(("name", "levels"), [("snapshot_thin", 3), ("snapshot_empty", 0)])
def test_a_thin_snapshot_holds_too_few_levels(name: str, levels: int) -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        _, _, body = await request_depth(session, exchange, SYMBOL)
        assert len(json.loads(body)["bids"]) == len(json.loads(body)["asks"]) == levels

    ask([FAULTS[name]], check)


@pytest.mark.parametrize(("name", "status"), [("too_many_requests", 429), ("banned", 418)])
def test_who_asks_too_often_is_told_when_to_come_back(name: str, status: int) -> None:
    async def check(session: aiohttp.ClientSession, exchange: Exchange) -> None:
        for early in range(2):
            seen, headers, body = await request_depth(session, exchange, SYMBOL)
            assert (seen, headers["Retry-After"]) == (status, "1")
            assert json.loads(body)["code"] == -1003
            assert exchange.weight.early == early
        await asyncio.sleep(1.0)

    ask([Fault(name, "request", amount=1.0, after=0)], check)


def test_a_fault_waits_until_somebody_can_suffer_it() -> None:
    async def wait() -> None:
        truth = Truth([SyntheticMarket(SYMBOL, levels=50), SyntheticMarket("ETHUSDT", levels=50)])
        spoilt = FAULTS["lost"].at(1, SYMBOL)
        async with (
            Exchange(truth, faults=[spoilt], speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, "ETHUSDT") as socket,
        ):
            await events(socket, 500)
            assert exchange.pending == (spoilt,)
            await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}')
            while exchange.pending:
                await receive(socket)
            (injection,) = exchange.injected
            assert (injection.name, injection.symbol) == ("lost", SYMBOL)
            assert injection.events >= 500

    asyncio.run(wait())


def test_the_same_seed_strikes_the_same_way() -> None:
    async def injected(seed: int) -> list[Any]:
        faults = [FAULTS[name] for name in ("lost", "doubled", "clock_plus_2s", "abrupt", "eof")]
        async with Exchange(market(), faults=faults, seed=seed, speed=1e9) as exchange:
            while exchange.pending:
                async with listening(exchange, SYMBOL) as socket:
                    try:
                        while exchange.pending:
                            await receive(socket)
                    except ConnectionClosed:
                        continue
            return exchange.injected

    first, again, other = (asyncio.run(injected(seed)) for seed in (1, 1, 2))
    assert first == again
    assert len(first) == 5
    assert first != other


def test_the_catalogue_holds_what_its_names_say() -> None:
    """The very first request or connection is struck; of all else the seed chooses the moment."""
    units = {"s": 1_000, "h": HOUR_MS}
    for name, one in FAULTS.items():
        assert one.name == name
        assert one.after == (0 if one.point in ("accept", "request") else None)
        if name.startswith("clock_"):
            _, sign, span = name.split("_")
            size = int(span[:-1]) * units[span[-1]]
            assert one.amount == (size if sign == "plus" else -size)
            assert one.count == 300, "half a minute of events"
        elif one.point == "event":
            assert one.count == {"delayed": 20, "burst": 400}.get(name, 1)
        else:
            assert one.count == 1
    amounts = {name: one.amount for name, one in FAULTS.items() if "clock" not in name}
    assert {name: amount for name, amount in amounts.items() if amount} == {
        "oversized": 5_000_000,
        "snapshot_slow": 2.0,
        "snapshot_thin": 3,
        "too_many_requests": 2.0,
        "banned": 3.0,
    }
    assert FAULTS["snapshot_thin"].amount < DEEP_LEVELS


def test_a_mix_is_the_same_for_a_seed_and_names_can_be_pinned() -> None:
    assert mix(3) == mix(3) == named(["mix@3"]) != mix(4)
    assert {one.name for seed in range(50) for one in mix(seed)} == set(FAULTS)
    assert named(["lost@300", "eof"]) == [FAULTS["lost"].at(300), FAULTS["eof"]]


@pytest.mark.parametrize("name", ["loss", "lost@soon", "mix", "lost@-1"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"expected, got '{name}'"):
        named([name])
