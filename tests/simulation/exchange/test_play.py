"""A market played to clients that only keep what they are offered, by a clock that sleeps move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from quantgod.simulation.exchange import pace, play
from quantgod.simulation.exchange.faults import FAULTS, Fault
from quantgod.simulation.exchange.pace import Pace
from quantgod.simulation.exchange.play import AHEAD, Play
from quantgod.simulation.exchange.rules import Rules
from quantgod.simulation.exchange.schedule import Schedule
from quantgod.simulation.exchange.spoiling import Spoiling
from quantgod.simulation.exchange.synthetic import SyntheticMarket
from quantgod.simulation.exchange.truth import Truth
from quantgod.simulation.exchange.wire import depth_event, fragments, in_stream

STREAM = b"x@depth"


class Client:
    """What `Play` asks of a connection."""

    def __init__(self, clock: SimpleNamespace, *, listens: bool = True) -> None:
        self.clock, self.is_listening, self.waiting = clock, listens, 0
        self.is_deaf, self.answers_pings = False, True
        self.heard: list[Any] = []
        self.times: list[float] = []
        self.kept: list[int] = []
        self.ends: list[tuple[int, str]] = []
        self.resets = 0

    def streams_of(self, symbol: str) -> list[bytes]:
        return [STREAM] if self.is_listening and symbol == "X" else []

    def offer(self, message: Any) -> None:
        self.heard.append(message)
        self.times.append(self.clock.now)

    def keep_alive(self, now: int) -> None:
        self.kept.append(now)

    def end(self, code: int, reason: str) -> None:
        self.ends.append((int(code), reason))

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=500.0, slept=list[float](), at_sleep=None)

    async def sleep(seconds: float) -> None:
        clock.slept.append(seconds)
        clock.now += seconds
        if clock.at_sleep:
            clock.at_sleep()

    for module in (pace, play):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(play, "asyncio", SimpleNamespace(sleep=sleep, Event=asyncio.Event))
    return clock


def market(count: int) -> Truth:
    return Truth([SyntheticMarket("X", count=count, levels=30)])


def sent(count: int) -> list[bytes]:
    truth = market(count)
    return [in_stream(STREAM, depth_event(truth.advance())) for _ in range(count)]


def played(
    count: int, speed: float, *clients: Client, faults: tuple[Fault, ...] = (), **rules: Any
) -> Play:
    truth = market(count)
    schedule = Schedule(faults, truth.symbols, 0)
    one = Play(truth, Pace(speed), Rules(**rules), schedule, Spoiling(schedule))
    one.open |= set(clients)  # type: ignore[arg-type]
    one.audience.set()
    asyncio.run(one.run())
    assert one.over.is_set()
    return one


def test_without_a_clock_the_sockets_get_their_turn_every_32_events(clock: SimpleNamespace) -> None:
    client = Client(clock)
    played(97, 1e9, client)
    assert client.heard == sent(97)
    assert clock.slept == [0.0] * 4
    assert len(client.kept) == 97
    assert client.ends == [(1001, "the market of this exchange is over")]


def test_each_event_comes_at_its_time(clock: SimpleNamespace) -> None:
    client, truth = Client(clock), market(40)
    played(40, 4.0, client)
    begin, due = truth.now, []
    while truth.upcoming is not None:
        due.append(500.0 + (truth.upcoming - begin) / 4_000)
        truth.advance()
    assert client.times == pytest.approx(due)
    assert client.kept == pytest.approx([begin + 4_000 * (at - 500.0) for at in due])


def test_a_burst_is_ahead_of_the_clock_and_time_goes_on_from_there(clock: SimpleNamespace) -> None:
    client = Client(clock)
    played(40, 1.0, client, faults=(Fault("burst", "event", count=10, after=5),))
    gaps = [after - before for before, after in zip(client.times, client.times[1:], strict=False)]
    assert [at for at, gap in enumerate(gaps) if gap == 0] == [*range(4, 14)]
    assert min(gaps[14:]) > 0.09


def test_an_event_in_parts_is_three_frames_and_a_cut_one_half(clock: SimpleNamespace) -> None:
    client = Client(clock)
    faults = (FAULTS["split"].at(2), FAULTS["bad_json"].at(3))
    played(4, 1e9, client, faults=faults)
    true = sent(4)
    assert client.heard == [true[0], fragments(true[1], 3), true[2][: len(true[2]) // 2], true[3]]


def test_who_does_not_listen_is_kept_alive_and_told_of_the_end(clock: SimpleNamespace) -> None:
    client, other = Client(clock), Client(clock, listens=False)
    played(5, 1e9, client, other, faults=(FAULTS["half_open"].at(1),))
    assert (other.heard, len(other.kept), len(other.ends)) == ([], 5, 1)
    assert (client.is_deaf, other.is_deaf) == (True, False)


def stalled(
    clock: SimpleNamespace, waiting: int, until: Callable[[Client], bool], **rules: Any
) -> Client:
    """A client with so many unsent messages until this holds of it."""
    client = Client(clock)
    client.waiting = waiting

    def at_sleep() -> None:
        if until(client):
            client.waiting = 0

    clock.at_sleep = at_sleep
    played(1, 1e9, client, **rules)
    assert len(client.heard) == 1
    return client


@pytest.mark.parametrize("frames", [10, AHEAD, 10_000])
def test_the_market_waits_for_who_has_no_room(clock: SimpleNamespace, frames: int) -> None:
    room = min(256, frames)
    stalled(clock, room - 1, lambda _: False, outbox_frames=frames)
    assert clock.slept == [0.0]
    client = stalled(
        clock, room, lambda _: len(clock.slept) > 5, outbox_frames=frames, stall_seconds=1.0
    )
    assert clock.slept == [0.0, 0.0] + [0.001] * 4
    assert client.resets == 0


def test_it_cuts_who_stalls_for_longer_than_the_rules_have(clock: SimpleNamespace) -> None:
    clock.now = 0.0
    client = stalled(clock, 999, lambda one: one.resets > 0, stall_seconds=0.004)
    assert sum(clock.slept) == pytest.approx(0.006)
    assert client.resets == 1


def test_it_waits_for_somebody_to_listen(clock: SimpleNamespace) -> None:
    client = Client(clock, listens=False)

    def at_sleep() -> None:
        client.is_listening = len(clock.slept) > 3

    clock.at_sleep = at_sleep
    played(2, 1e9, client)
    assert client.heard == sent(2)
    assert clock.slept == [0.0, 0.001, 0.001, 0.001]


def test_the_end_is_logged_with_the_time_of_the_exchange(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        played(30, 1e9, Client(clock))
    assert "is over (exchange time 2024-01-01T00:00:03" in caplog.text
