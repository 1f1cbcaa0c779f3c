"""The venue's limit of requests, by a clock that stands until it is moved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from quantgod.simulation.exchange import weight
from quantgod.simulation.exchange.rules import hurried
from quantgod.simulation.exchange.weight import Refusal, RequestWeight

Clock = SimpleNamespace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Quarter past the second of minute ten."""
    clock = SimpleNamespace(now=612.25)
    monkeypatch.setattr(weight, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_the_limit_itself_is_allowed_and_one_more_waits_for_the_next_minute(clock: Clock) -> None:
    of = RequestWeight(50)
    assert (of.used, of.early, of.total) == (0, 0, 0)
    assert of.charge(20) is None
    assert of.charge(30) is None
    assert (of.used, of.total) == (50, 50)
    assert of.charge(1) == Refusal(429, 48)  # 47.75 s are left of the minute
    assert (of.used, of.early, of.total) == (51, 0, 51)
    clock.now = 660.0  # another minute, before the time that was told
    assert of.charge(5) == Refusal(429, 1)
    assert (of.used, of.early, of.total) == (0, 1, 51)
    clock.now = 660.25
    assert of.charge(5) is None
    assert (of.used, of.early, of.total) == (5, 1, 56)
    clock.now = 719.75
    assert of.charge(5) is None
    assert of.used == 10
    clock.now = 720.0
    assert of.charge(5) is None
    assert of.used == 5


def test_who_does_not_wait_is_banned_at_the_third_time(clock: Clock) -> None:
    of = RequestWeight(50)
    assert of.refuse(429, 10) == Refusal(429, 10)
    clock.now += 0.5
    assert of.charge(1) == Refusal(429, 10)
    assert of.charge(1) == Refusal(429, 10)
    clock.now += 9.25
    assert of.charge(1) == Refusal(418, 120)
    clock.now += 100
    assert [of.charge(1) for _ in range(4)] == [Refusal(418, 21)] * 4
    assert (of.early, of.total) == (7, 0)
    clock.now += 20
    assert of.charge(1) is None
    of.refuse(429, 10)
    assert [one.status for _ in range(3) if (one := of.charge(1))] == [429, 429, 418]


@pytest.mark.parametrize(("speed", "a_minute"), [(0.5, 2_400), (1.0, 2_400), (2.5, 6_000)])
def test_a_hurried_exchange_grants_more_a_minute_and_a_slow_one_no_less(
    speed: float, a_minute: int
) -> None:
    assert hurried(2_400, speed) == a_minute
