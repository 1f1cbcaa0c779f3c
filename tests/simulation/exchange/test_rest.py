"""Answers to requests for depth, without a socket: status, headers and body to the letter."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.market.binance import DepthEvent, DepthSnapshot
from quantgod.simulation.exchange.faults import Fault
from quantgod.simulation.exchange.rest import DepthRequests
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.spoiling import Spoiling
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import TrueEvent, Truth
from quantgod.simulation.exchange.weight import RequestWeight
from quantgod.simulation.exchange.wire import depth_snapshot, sides

SEED = 4


class Asked:
    """Requests for the depth of X and Y after some events, and what they must give."""

    def __init__(self, *faults: Fault, events: int = 7, limit: int = 100_000) -> None:
        self.truth = Truth([SyntheticMarket(name, levels=1_200) for name in ("X", "Y")])
        self.weight = RequestWeight(limit)
        self.schedule = Schedule(faults, self.truth.symbols, 0)
        self.spoiling = Spoiling(self.schedule)
        self.requests = DepthRequests(self.truth, self.weight, self.schedule, self.spoiling, SEED)
        self.draw = random.Random(SEED)
        self.opening = {
            name: self.truth.snapshot(name, 1_000, self.draw) for name in self.truth.symbols
        }
        self.first = {name: self.truth.last_update_id(name) for name in self.truth.symbols}
        for _ in range(events):
            self.truth.advance()

    def ask(self, **query: str) -> Any:
        request: Any = SimpleNamespace(query=query, transport=None)
        return asyncio.run(self.requests.answer(request))

    def body(self, symbol: str, limit: int) -> bytes:
        return depth_snapshot(self.truth.snapshot(symbol, limit, self.draw), self.truth.now)


def fault(name: str, amount: float = 0.0) -> Fault:
    return Fault(name, "request", amount=amount, after=0, symbol="X")


def test_a_limit_has_its_weight_and_500_levels_are_the_default() -> None:
    asked, used = Asked(), 0
    for limit, weight in ((5, 2), (10, 2), (20, 2), (50, 2), (100, 5), (500, 10), (1000, 20)):
        answer, used = asked.ask(symbol="Y", limit=str(limit)), used + weight
        assert (answer.status, answer.body) == (200, asked.body("Y", limit))
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(used)
        assert answer.content_type == "application/json"
    answer = asked.ask(symbol="X")
    assert answer.body == asked.body("X", 500)
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(used + 10)
    assert asked.requests.count == 8


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ({}, -1102, "Mandatory parameter 'symbol' was not sent, or is malformed."),
        ({"symbol": "Z"}, -1121, "Invalid symbol."),
        ({"symbol": "X", "limit": "7"}, -4021, "7 is not valid depth limit."),
        ({"symbol": "X", "limit": "five"}, -4021, "five is not valid depth limit."),
        ({"symbol": "X", "limit": "-5"}, -4021, "-5 is not valid depth limit."),
    ],
)
def test_what_makes_no_sense_costs_nothing(query: dict[str, str], code: int, words: str) -> None:
    asked = Asked()
    answer = asked.ask(**query)
    assert (answer.status, json.loads(answer.body)) == (400, {"code": code, "msg": words})
    assert (asked.weight.used, asked.requests.count) == (0, 1)


def test_who_asks_too_much_is_refused_with_the_limit() -> None:
    asked = Asked(limit=4)
    assert [asked.ask(symbol="X", limit="5").status for _ in range(3)] == [200, 200, 429]
    answer = asked.ask(symbol="X", limit="5")
    text = "Too many requests; current limit is 4 request weight a minute."
    assert json.loads(answer.body) == {"code": -1003, "msg": text}
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(("name", "status"), [("too_many_requests", 429), ("banned", 418)])
def test_a_refusal_lasts_whole_seconds(name: str, status: int) -> None:
    answer = Asked(fault(name, 1.2)).ask(symbol="X")
    assert (answer.status, answer.headers["Retry-After"]) == (status, "2")


def test_a_failing_request_says_so() -> None:
    answer = Asked(fault("snapshot_failing")).ask(symbol="X")
    told = {"code": -1001, "msg": "Internal error; unable to process."}
    assert (answer.status, json.loads(answer.body)) == (500, told)


def test_a_stale_book_is_the_opening_one_with_an_id_before_it() -> None:
    asked = Asked(fault("snapshot_stale"))
    answer = asked.ask(symbol="X", limit="10")
    old = asked.opening["X"]
    stale = DepthSnapshot(asked.first["X"] - 1, old.ts, old.bids[:10], old.asks[:10])
    assert (answer.status, answer.body) == (200, depth_snapshot(stale, asked.truth.now))


def test_half_a_book_and_a_thin_one_are_cut_where_they_say() -> None:
    asked = Asked(fault("snapshot_half"))
    whole = asked.body("X", 10)
    assert asked.ask(symbol="X", limit="10").body == whole[: len(whole) // 2]
    asked = Asked(fault("snapshot_thin", 3))
    asked.body("X", 10)  # an id was drawn for the whole one
    answer = asked.ask(symbol="X", limit="10")
    assert (answer.status, answer.body) == (200, asked.body("X", 3))
    assert asked.schedule.pending == ()


def test_a_fault_of_one_symbol_leaves_the_other_alone() -> None:
    asked = Asked(fault("snapshot_failing"))
    assert asked.ask(symbol="Y").status == 200
    assert [asked.ask(symbol="X").status for _ in range(2)] == [500, 200]


def test_a_book_tells_the_ids_and_the_clock_of_what_is_sent() -> None:
    asked = Asked()
    last = asked.truth.last_update_id("X")
    change = DepthEvent("X", 1, last + 1, last + 2, last, [], [])
    event = TrueEvent(change, sides([], []))
    asked.schedule = Schedule(
        [Fault(name, "event", amount=70, after=1) for name in ("sequence_reset", "clock_plus_2s")],
        ["X"],
        0,
    )
    asked.spoiling._schedule = asked.schedule
    asked.spoiling.messages(event, 1, is_heard=True)
    shift = 1_000 - (last + 1)
    answer = asked.ask(symbol="X", limit="5")
    true = asked.truth.snapshot("X", 5, asked.draw)
    sent = true._replace(last_update_id=true.last_update_id + shift)
    assert answer.body == depth_snapshot(sent, asked.truth.now, 70)
    asked.spoiling._id_shift["X"] = -(10**15)
    assert json.loads(asked.ask(symbol="X").body)["lastUpdateId"] == 1
