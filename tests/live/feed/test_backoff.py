from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from quantgod.live.feed.backoff import Backoff


@given(st.integers(0, 2**32), st.floats(0.01, 10), st.floats(10, 1000), st.integers(1, 2000))
def test_every_wait_lies_between_the_first_and_the_limit(
    seed: int, first: float, limit: float, failures: int
) -> None:
    backoff = Backoff(first, limit, Random(seed))
    waits = [backoff.next() for _ in range(failures)]
    assert all(first <= wait <= limit for wait in waits)
    assert waits[0] <= 2 * first
    # Long after the doubling has reached the limit, every wait is at least half of it.
    assert all(wait >= limit / 2 for wait in waits[20:])


def test_waits_double_until_the_limit_and_start_anew_after_a_success() -> None:
    backoff = Backoff(0.5, 60.0, Random(3))
    tops = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    for top in tops:
        assert top / 2 <= backoff.next() <= top
    assert backoff.failures == len(tops)
    backoff.reset()
    assert backoff.failures == 0
    assert 0.5 <= backoff.next() <= 1.0


def test_two_clients_do_not_march_in_step() -> None:
    one, other = (Backoff(0.5, 60.0, Random(seed)) for seed in (1, 2))
    assert [one.next() for _ in range(8)] != [other.next() for _ in range(8)]


class Bounds(Random):
    """It gives the larger bound, and keeps both."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return b


def test_a_wait_is_drawn_from_half_to_all_of_the_doubled_one() -> None:
    bounds = Bounds()
    backoff = Backoff(0.5, 6.0, bounds)
    assert backoff.failures == 0
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 6.0, 6.0]
    assert bounds.asked == [(0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (3.0, 6.0)]
    assert backoff.failures == 5


def test_a_first_wait_above_the_limit_is_kept_to() -> None:
    bounds = Bounds()
    assert Backoff(3.0, 1.0, bounds).next() == 3.0
    assert bounds.asked == [(3.0, 3.0)]
