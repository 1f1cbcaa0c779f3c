from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import websockets
from aiohttp import WSMsgType, web
from websockets.exceptions import ConnectionClosed, InvalidStatus

from quantgod.market.book import OrderBook
from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.exchange.archived import simulated_truth
from quantgod.simulation.exchange.connection import Connection
from quantgod.simulation.exchange.faults import FAULTS, Fault
from quantgod.simulation.exchange.recorded import RecordedMarket
from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from quantgod.simulation.market import SimulatedMarket
from tests.simulation.exchange.client import (
    Joined,
    connect,
    connect_idle,
    events,
    get_depth,
    listening,
    receive,
    request_depth,
    until_closed,
)

AS_FAST_AS_IT_GOES = 1e9

SIMULATED = SimulateSettings(
    start=dt.date(2024, 1, 1),
    days=2,
    levels=200,
    cadence_ms=1000,
    seed=3,
    signal=0.5,
    price=60000.0,
    tick=0.1,
    volatility=0.0009,
    changes=12,
)


def small(*, count: int | None = None, seed: int = 0, **changes: object) -> Truth:
    return Truth([SyntheticMarket("BTCUSDT", seed=seed, count=count, **changes)])  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [5, 100, 1000])
def test_stream_and_snapshot_join_to_the_true_book(limit: int) -> None:
    async def join() -> None:
        async with Exchange(small(count=1500, moves=0.5), speed=AS_FAST_AS_IT_GOES) as exchange:
            async with listening(exchange, "BTCUSDT") as socket:
                heard = await events(socket, 40)
                snapshot = await get_depth(exchange, "BTCUSDT", limit)
                book = Joined(snapshot)
                heard += await events(socket, 1460)
            for event in heard:
                book.apply(event)
            assert book.last == exchange.last_update_id("BTCUSDT")
            assert len(snapshot["bids"]) == len(snapshot["asks"]) == limit
            assert book.equals(exchange.book("BTCUSDT"))

    asyncio.run(join())


def test_the_simulated_market_is_told_as_its_archive_has_it() -> None:
    async def join() -> list[dict[str, Any]]:
        truth = simulated_truth(["BTCUSDT", "ETHUSDT"], SIMULATED)
        async with (
            Exchange(truth, speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, "BTCUSDT", "ETHUSDT") as socket,
        ):
            return await events(socket, 600)

    heard = asyncio.run(join())
    for symbol, seed in (("BTCUSDT", SIMULATED.seed), ("ETHUSDT", SIMULATED.seed + 1)):
        settings = SIMULATED.model_copy(update={"seed": seed})
        market = SimulatedMarket(symbol, settings, price_path(settings), start_ms(settings))
        lines = [json.loads(line) for line in market.lines(1, 0, 302).splitlines()][1:]
        told = [(event["T"], event["b"], event["a"]) for event in heard if event["s"] == symbol]
        written = [(line["ts"], line["data"]["b"], line["data"]["a"]) for line in lines]
        assert len(told) > 290
        assert told == written[: len(told)]


RECORDING = Path("../shared/data/binance_usdm_btcusdt_20240808.gz")


@pytest.mark.long
@pytest.mark.skipif(not RECORDING.exists(), reason="no recording of Binance here")
def test_a_recording_is_played_with_its_own_ids_and_joins_to_its_own_book() -> None:
    async def join() -> tuple[dict[str, Any], list[dict[str, Any]], Joined, OrderBook]:
        truth = Truth([RecordedMarket(RECORDING)])
        async with (
            Exchange(truth, speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, "BTCUSDT") as socket,
        ):
            heard = await events(socket, 400)
            snapshot = await get_depth(exchange, "BTCUSDT")
            book = Joined(snapshot)
            heard += [event async for event in until_closed(socket)]
            return snapshot, heard, book, exchange.book("BTCUSDT")

    snapshot, heard, book, truth = asyncio.run(join())
    assert (heard[0]["U"], heard[0]["pu"]) == (5123107850310, 5123107850146)
    assert len(heard) == 6551 - 4
    assert len(snapshot["bids"]) == 1000
    for event in heard:
        book.apply(event)
    assert book.equals(truth)


def test_when_the_market_is_over_the_exchange_says_so() -> None:
    async def end() -> None:
        async with Exchange(small(count=50), speed=AS_FAST_AS_IT_GOES) as exchange:
            async with listening(exchange, "BTCUSDT") as socket:
                assert len([event async for event in until_closed(socket)]) == 50
                assert socket.close_code == 1001
                assert socket.close_reason == "the market of this exchange is over"
            with pytest.raises(InvalidStatus, match="503"):
                async with listening(exchange, "BTCUSDT"):
                    pass
            async with aiohttp.ClientSession() as session:
                status, _, body = await request_depth(session, exchange, "BTCUSDT")
            told = {"code": -1016, "msg": "the market of this exchange is over"}
            assert (status, json.loads(body)) == (503, told)
            assert (exchange.connections_made, exchange.snapshot_requests) == (1, 0)

    asyncio.run(end())


def test_it_listens_where_it_is_told_to_and_lets_its_clients_go_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finished: list[Connection] = []
    finish = Connection.finish
    monkeypatch.setattr(Connection, "finish", lambda one: finished.append(one) or finish(one))

    asked: list[tuple[str, int]] = []

    class AnyPort(web.TCPSite):
        """Keeps what it is asked for, and takes a port that is free."""

        def __init__(self, runner: web.AppRunner, host: str, port: int) -> None:
            asked.append((host, port))
            super().__init__(runner, host, 0)

    monkeypatch.setattr(web, "TCPSite", AnyPort)

    async def listen() -> None:
        async with Exchange(small(levels=20)):
            pass
        async with Exchange(small(levels=20), speed=100, port=4321) as exchange:
            assert asked == [("127.0.0.1", 0), ("127.0.0.1", 4321)]
            stream, depth = urlsplit(exchange.stream_url), urlsplit(exchange.depth_url)
            assert (stream.scheme, stream.hostname, stream.path) == (
                "ws", "127.0.0.1", "/public/stream",
            )  # fmt: skip
            assert depth == ("http", stream.netloc, "/fapi/v1/depth", "", "")
            clients = [await connect(exchange) for _ in range(2)]
            assert exchange.connections_made == 2
            kept = exchange.connections
            assert len(kept) == 2
        assert {*finished} >= {*kept}
        for client in clients:
            with pytest.raises(ConnectionClosed):
                await events(client, 10_000)
            assert client.close_code == 1006

    asyncio.run(listen())


def test_a_fault_of_new_connections_waits_for_one_that_could_hear_its_symbol() -> None:
    async def connect_to(url: str, faults: list[Fault]) -> tuple[int, list[str]]:
        markets = [SyntheticMarket(name, levels=20) for name in ("BTCUSDT", "ETHUSDT")]
        async with Exchange(Truth(markets), faults=faults, speed=100) as exchange:
            place = exchange.stream_url.replace("/public/stream", url)
            async with websockets.connect(place, close_timeout=0.05):
                return len(exchange.pending), [one.symbol for one in exchange.injected]

    for symbol in ("BTCUSDT", "ETHUSDT"):
        silent = [FAULTS["silent"].at(0, symbol)]
        for url, hears in (
            ("/market/stream?streams=btcusdt@depth/ethusdt@depth", False),
            ("/public/stream?streams=btcusdt@depth/ethusdt@depth", True),
            ("/public/stream?streams=btcusdt@depth", symbol == "BTCUSDT"),
            ("/public/stream?streams=ethusdt@trade", True),  # and who hears nothing yet
            ("/public/stream", True),
        ):
            pending, struck = asyncio.run(connect_to(url, silent))
            assert (pending, struck) == ((0, [symbol]) if hears else (1, []))


class Breaking(SyntheticMarket):
    """A market whose data end in the middle of an event."""

    def events(self) -> Iterator[TrueEvent]:
        yield from itertools.islice(super().events(), 20)
        raise ValueError("half an event")


def test_a_market_that_breaks_off_is_told_to_clients_and_to_who_runs_it() -> None:
    async def end() -> None:
        with pytest.raises(ValueError, match="half an event"):
            async with (
                Exchange(Truth([Breaking("BTCUSDT", levels=50)]), speed=1e9) as exchange,
                listening(exchange, "BTCUSDT") as socket,
            ):
                assert len([event async for event in until_closed(socket)]) == 19
                reason = "the market of this exchange broke off: half an event"
                assert socket.close_reason == reason

    asyncio.run(end())


def test_subscriptions_come_and_go() -> None:
    async def subscribe() -> None:
        async with Exchange(small(), speed=100) as exchange, listening(exchange) as socket:
            for method, params, result in (
                ("SUBSCRIBE", ["btcusdt@depth@100ms", "nothing@here"], None),
                ("LIST_SUBSCRIPTIONS", [], ["btcusdt@depth@100ms", "nothing@here"]),
                ("UNSUBSCRIBE", ["btcusdt@depth@100ms"], None),
                ("LIST_SUBSCRIPTIONS", [], ["nothing@here"]),
            ):
                ask = {"method": method, "params": params, "id": method}
                await socket.send(json.dumps(ask))
                while "stream" in (answer := json.loads(await receive(socket))):
                    assert answer["stream"] == "btcusdt@depth@100ms"
                assert answer == {"result": result, "id": method}
                if method == "SUBSCRIBE":
                    await events(socket, 3)
            with pytest.raises(TimeoutError):
                await receive(socket, 0.1)
            await socket.send("hello")
            assert json.loads(await receive(socket))["error"]["code"] == 2

    asyncio.run(subscribe())


def test_the_other_base_acknowledges_and_stays_silent() -> None:
    async def silent() -> None:
        async with Exchange(small(), speed=100) as exchange:
            url = exchange.stream_url.replace("/public/", "/market/")
            async with websockets.connect(f"{url}?streams=btcusdt@depth") as socket:
                await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}')
                assert json.loads(await receive(socket)) == {"result": None, "id": 1}
                with pytest.raises(TimeoutError):
                    await receive(socket, 0.2)

    asyncio.run(silent())


def test_requests_are_refused_as_the_venue_refuses_them() -> None:
    async def refuse() -> None:
        async with (
            Exchange(small(), rules=Rules(weight_a_minute=50)) as exchange,
            aiohttp.ClientSession() as session,
        ):
            for symbol, limit, code in (
                ("XYZ", 1000, -1121),
                (None, 5, -1102),
                ("BTCUSDT", 7, -4021),
            ):
                status, _, body = await request_depth(session, exchange, symbol, limit)
                assert (status, json.loads(body)["code"]) == (400, code)
            _, headers, _ = await request_depth(session, exchange, "BTCUSDT", 1000)
            assert headers["X-MBX-USED-WEIGHT-1M"] == "20"
            statuses = []
            for _ in range(6):
                status, headers, _ = await request_depth(session, exchange, "BTCUSDT", 1000)
                statuses.append(status)
                if status == 429:
                    assert 1 <= int(headers["Retry-After"]) <= 60
            assert statuses == [200, 429, 429, 429, 418, 418]
            assert int(headers["Retry-After"]) > 60
            assert exchange.weight.early == 4

    asyncio.run(refuse())


@pytest.mark.long
def test_a_client_that_does_not_read_is_cut_before_memory_grows() -> None:
    async def stall() -> None:
        rules = Rules(outbox_frames=200)
        async with Exchange(small(changes=60), speed=5000, rules=rules) as exchange:
            idle, busy = await connect_idle(exchange), await connect(exchange)
            try:
                heard = 0
                while len(exchange.connections) == 2:
                    heard += len(await events(busy, 10))
                    assert max(one.waiting for one in exchange.connections) <= 200
                assert heard > 200
                await events(busy, 100)
                with pytest.raises(ConnectionClosed):
                    await events(idle, heard)
                assert idle.close_code == 1006
            finally:
                await busy.close()

    asyncio.run(stall())


@pytest.mark.long
def test_a_market_that_waits_for_its_clients_cuts_the_one_that_stands_still() -> None:
    async def stall() -> None:
        rules = Rules(outbox_frames=50, stall_seconds=0.3)
        async with Exchange(small(changes=60), speed=AS_FAST_AS_IT_GOES, rules=rules) as exchange:
            idle, busy = await connect_idle(exchange), await connect(exchange)
            try:
                while len(exchange.connections) == 2:
                    await events(busy, 1)
                    assert max(one.waiting for one in exchange.connections) <= 50
                await events(busy, 100)
                with pytest.raises(ConnectionClosed):
                    await events(idle, 10_000)
            finally:
                await busy.close()

    asyncio.run(stall())


@pytest.mark.long
def test_pings_go_by_exchange_time_and_who_never_answers_is_cut() -> None:
    async def ping() -> None:
        rules = Rules(ping_seconds=20, pong_seconds=60, pong_patience=0.3)
        async with (
            Exchange(small(), speed=200, rules=rules) as exchange,
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"{exchange.stream_url}?streams=btcusdt@depth", autoping=False
            ) as socket,
        ):
            async with asyncio.timeout(5):
                kinds = [message.type async for message in socket]
            assert kinds.count(WSMsgType.PING) == 1
            assert socket.close_code == 1001
            async with listening(exchange, "BTCUSDT") as answering:
                await events(answering, 1500)  # 150 s, in which it had to answer
                assert answering.close_code is None

    asyncio.run(ping())


def test_who_answers_is_pinged_no_more_often_than_it_is_said() -> None:
    async def ping() -> None:
        rules = Rules(ping_seconds=20, pong_seconds=60)
        async with (
            Exchange(small(), speed=200, rules=rules) as exchange,
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"{exchange.stream_url}?streams=btcusdt@depth", autoping=False
            ) as socket,
        ):
            pinged: list[int] = []
            async with asyncio.timeout(30):
                while len(pinged) < 5:
                    message = await socket.receive()
                    if message.type is WSMsgType.PING:
                        pinged.append(int(message.data))
                        await socket.pong(message.data)
            apart = [after - before for before, after in itertools.pairwise(pinged)]
            assert min(apart) > 20_000
            assert max(apart) < 30_000

    asyncio.run(ping())


def test_several_clients_hear_the_same() -> None:
    async def hear() -> None:
        async with (
            Exchange(small(), speed=AS_FAST_AS_IT_GOES) as exchange,
            listening(exchange, "BTCUSDT") as first,
        ):
            heard = await events(first, 50)
            async with listening(exchange, "BTCUSDT") as second:
                other = (await events(second, 1))[0]
                while heard[-1] != other:
                    heard += await events(first, 1)
                assert await events(first, 100) == await events(second, 100)

    asyncio.run(hear())
