from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import pytest

from quantgod.archive.simulated import price_path, start_ms
from quantgod.live.exchange.server import Exchange
from quantgod.live.exchange.simulated import simulated_truth
from quantgod.live.exchange.synthetic import SyntheticMarket
from quantgod.live.exchange.truth import Truth
from quantgod.market.simulator import SimulatedMarket
from quantgod.settings import SimulateSettings
from tests.live.exchange.client import Joined, events, get_depth, listening

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
