"""How many requests and wrong tokens there may be, by a clock of the test's own."""

from __future__ import annotations

from quantgod.api.guard.limits import Lockout, RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_as_many_requests_as_a_second_may_have_and_the_next_ones_as_time_goes_by() -> None:
    clock = Clock()
    rate = RateLimit(10, clock)
    assert [rate.wait() for _ in range(10)] == [0.0] * 10
    assert 0 < rate.wait() <= 0.1
    clock.now += 0.25
    assert [rate.wait() == 0 for _ in range(3)] == [True, True, False]
    clock.now += 3_600
    assert sum(rate.wait() == 0 for _ in range(100)) == 10, "an idle hour saves up one second"


def test_a_refused_request_does_not_delay_the_next() -> None:
    clock = Clock()
    rate = RateLimit(1, clock)
    assert rate.wait() == 0
    assert [round(rate.wait(), 6) for _ in range(5)] == [1.0] * 5


def test_wrong_tokens_in_a_row_lock_and_time_unlocks() -> None:
    clock = Clock()
    lockout = Lockout(3, 60.0, clock)
    for _ in range(2):
        lockout.count(is_right=False)
    assert lockout.left == 0
    lockout.count(is_right=True)
    for _ in range(2):
        lockout.count(is_right=False)
    assert lockout.left == 0, "a right one begins anew"
    lockout.count(is_right=False)
    assert lockout.left == 60
    clock.now += 59
    assert lockout.left == 1
    clock.now += 1
    assert lockout.left == 0
    lockout.count(is_right=False)
    assert lockout.left == 0, "after it as many may be wrong as before"
