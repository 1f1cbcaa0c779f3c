from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.live.deployment.places import MOST_RETRY_SECONDS, RETRY_POLLS, retry_seconds


@given(st.floats(1e-3, 1e5), st.integers(1, 100_000))
@example(5.0, 2_000)
def test_a_refused_version_waits_longer_each_time_and_never_more_than_the_longest_wait(
    poll: float, times: int
) -> None:
    waits = [retry_seconds(poll, count) for count in (*range(1, 40), 40 + times)]
    assert waits[0] == min(MOST_RETRY_SECONDS, poll * RETRY_POLLS)
    assert all(later == min(MOST_RETRY_SECONDS, 2 * sooner) for sooner, later in pairwise(waits))
