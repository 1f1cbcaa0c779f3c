"""Exchange time beside a clock that stands until it is moved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from quantgod.simulation.exchange import pace
from quantgod.simulation.exchange.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0, 99_999.0])
def test_time_runs_so_much_faster(speed: float, clock: SimpleNamespace) -> None:
    one = Pace(speed)
    assert not one.waits_for_clients
    assert one.seconds_until(8_000) == pytest.approx(8 / speed - 1_000)
    one.start(5_000_000)
    assert one.seconds_until(5_000_000) == pytest.approx(0.0, abs=1e-9)
    assert one.seconds_until(5_008_000) == pytest.approx(8 / speed)
    clock.now += 3
    assert one.seconds_until(5_008_000) == pytest.approx(8 / speed - 3)


@pytest.mark.parametrize("speed", [1e5, 1e9])
def test_as_fast_as_it_goes_waits_for_no_clock(speed: float, clock: SimpleNamespace) -> None:
    one = Pace(speed)
    one.start(5_000_000)
    assert one.waits_for_clients
    assert one.seconds_until(10**15) == 0.0


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="speed: above 0 expected"):
        Pace(speed)
