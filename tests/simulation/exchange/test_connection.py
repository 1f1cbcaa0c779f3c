"""A client's connection without its socket: what is queued, when it is pinged, when it ends."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest
import websockets
from aiohttp import WSCloseCode

from quantgod.simulation.exchange import connection as module
from quantgod.simulation.exchange.connection import DAY_OVER, Connection
from quantgod.simulation.exchange.faults import FAULTS
from quantgod.simulation.exchange.play import _strike
from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.server import Exchange
from quantgod.simulation.exchange.subscriptions import Subscriptions
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import Truth
from quantgod.simulation.exchange.wire import ping_frame

RULES = Rules(ping_seconds=10, pong_seconds=30, pong_patience=4, lifetime_seconds=100)


class Wire:
    """A transport that keeps what is done to it."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.is_gone = False

    def is_closing(self) -> bool:
        return self.is_gone

    def get_extra_info(self, name: str) -> Any:
        assert name == "socket"
        return SimpleNamespace(setsockopt=lambda *option: self.done.append(option[2]))

    def abort(self) -> None:
        self.done.append("abort")

    def close(self) -> None:
        self.done.append("close")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=50.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def connected(rules: Rules = RULES, *names: str) -> tuple[Connection, Wire]:
    wire = Wire()
    asked = Subscriptions(names or ["x@depth"], asyncio.Event(), has_depth=True)
    request: Any = SimpleNamespace(transport=wire)
    return Connection(request, rules, asked), wire


def ended(one: Connection, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Each end of a connection as it is asked for."""
    ends: list[tuple[int, str]] = []
    monkeypatch.setattr(one, "end", lambda code, reason: ends.append((int(code), reason)))
    return ends


def test_who_listens_gets_the_streams_of_a_symbol() -> None:
    one, wire = connected(RULES, "x@depth", "x@depth@100ms")
    assert one.is_listening
    assert one.streams_of("X") == [b"x@depth", b"x@depth@100ms"]
    assert one.streams_of("Y") == []
    assert not connected(RULES, "x@trade")[0].is_listening
    wire.is_gone = True
    assert not one.is_listening
    assert one.streams_of("X") == []


@pytest.mark.parametrize("state", ["is_silent", "is_deaf", "_ending"])
def test_who_is_silent_or_deaf_or_ends_hears_nothing(state: str) -> None:
    one, _ = connected()
    setattr(one, state, (1000, "") if state == "_ending" else True)
    assert not one.is_listening
    assert one.streams_of("X") == []


def test_the_queue_has_room_for_its_frames_and_not_for_one_more() -> None:
    one, wire = connected(Rules(outbox_frames=3))
    for number in range(3):
        assert one.waiting == number
        one.offer(b"%d" % number)
    assert (one.waiting, wire.done) == (3, [])
    one.offer(b"3")
    assert (one.waiting, wire.done) == (3, [struct.pack("ii", 1, 0), "abort"])


def test_what_is_gone_is_not_closed_again() -> None:
    one, wire = connected()
    one.finish()
    assert wire.done == ["close"]
    wire.is_gone = True
    one.finish()
    one.reset()
    assert wire.done == ["close"]


def test_a_ping_comes_after_more_than_its_seconds_and_its_answer_is_waited_for(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = connected()
    ends = ended(one, monkeypatch)
    for now in (5_000, 15_000):
        one.keep_alive(now)
        assert one.waiting == 0
    one.keep_alive(15_001)
    assert list(one._outbox) == [[ping_frame(b"15001")]]
    clock.now += 4.5
    one.keep_alive(45_001)  # as long as it may take by exchange time
    assert ends == []
    clock.now -= 0.5
    one.keep_alive(45_002)  # and as long as it may take by the clock
    assert ends == []
    clock.now += 0.1
    one.keep_alive(45_002)
    assert ends == [(1001, "no pong")]
    assert one.waiting == 1, "one ping is enough"


def test_who_has_answered_is_pinged_again(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = connected()
    ends = ended(one, monkeypatch)
    one.keep_alive(0)
    one.keep_alive(10_001)
    clock.now += 20
    pong: Any = SimpleNamespace(type=module.WSMsgType.PONG)
    asyncio.run(one._hear(pong))
    one.keep_alive(20_001)
    assert one.waiting == 1
    one.keep_alive(20_002)
    assert (one.waiting, ends) == (2, [])
    one.answers_pings = False
    clock.now += 9
    one.keep_alive(50_003)
    assert ends == [(1001, "no pong")]


def test_who_answers_no_pings_gets_none(clock: SimpleNamespace) -> None:
    one, _ = connected()
    one.answers_pings = False
    one.keep_alive(0)
    one.keep_alive(1_000_000)
    assert one.waiting == 0


def test_a_connection_lasts_a_day(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = connected()
    ends = ended(one, monkeypatch)
    clock.now += 100
    one.keep_alive(0)
    assert ends == []
    clock.now += 0.1
    one.keep_alive(0)
    assert ends == [(1001, DAY_OVER)]


def test_it_ends_once_and_is_cut_if_that_takes_too_long() -> None:
    async def end() -> None:
        one, wire = connected(Rules(closing_seconds=0.02))
        one.end(1001, "first")
        one.end(1000, "second")
        assert one._ending == (1001, "first")
        assert wire.done == []
        await asyncio.sleep(0.04)
        assert wire.done == [struct.pack("ii", 1, 0), "abort"]

    asyncio.run(end())


@pytest.mark.parametrize(
    ("name", "changes", "done"),
    [
        ("half_open", {"is_deaf": True}, []),
        ("missed_pings", {"answers_pings": False}, []),
        ("eof", {}, ["close"]),
        ("abrupt", {}, [struct.pack("ii", 1, 0), "abort"]),
        ("closed", {"_ending": (WSCloseCode.OK, "")}, []),
        ("day_cut", {"_ending": (WSCloseCode.GOING_AWAY, DAY_OVER)}, []),
    ],
)
def test_a_fault_does_to_a_connection_what_its_name_says(
    name: str, changes: dict[str, Any], done: list[Any]
) -> None:
    async def strike() -> None:
        one, wire = connected()
        state = {"is_deaf": False, "answers_pings": True, "is_silent": False, "_ending": None}
        assert {key: getattr(one, key) for key in state} == state
        _strike(FAULTS[name], one)
        assert {key: getattr(one, key) for key in state} == state | changes
        assert wire.done == done

    asyncio.run(strike())


def test_nothing_is_compressed_even_for_who_could_read_it() -> None:
    async def connect() -> None:
        truth = Truth([SyntheticMarket("X", levels=20)])
        async with Exchange(truth, speed=100) as exchange:
            url = f"{exchange.stream_url}?streams=x@depth"
            async with websockets.connect(url, compression="deflate", close_timeout=0.05) as socket:
                response: Any = socket.response
                assert "Sec-WebSocket-Extensions" not in response.headers
            assert exchange.connections_made == 1

    asyncio.run(connect())
