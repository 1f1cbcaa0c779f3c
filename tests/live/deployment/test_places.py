from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quantgod.live.deployment.model_store import Holder
from quantgod.live.deployment.places import (
    MOST_RETRY_SECONDS,
    RETRY_POLLS,
    ActiveVersion,
    Place,
    retry_seconds,
)

HELD, OTHER = Holder(1, "a" * 64), Holder(2, "b" * 64)


@pytest.mark.parametrize("loaded", [None, HELD, OTHER])
@pytest.mark.parametrize("ready", [None, HELD, OTHER])
def test_the_version_that_is_ready_speaks_and_without_one_the_loaded_one(
    loaded: Holder | None, ready: Holder | None
) -> None:
    nothing: Any = None

    def active(held: Holder | None) -> ActiveVersion | None:
        return None if held is None else ActiveVersion(held, nothing, nothing)

    place = Place("Production", active(loaded), active(ready))
    assert place.speaks(HELD) == ((ready or loaded) == HELD)


@given(st.floats(1e-3, 1e5), st.integers(1, 100_000))
@example(5.0, 2_000)
def test_a_refused_version_waits_longer_each_time_and_never_more_than_the_longest_wait(
    poll: float, times: int
) -> None:
    waits = [retry_seconds(poll, count) for count in (*range(1, 40), 40 + times)]
    assert waits[0] == min(MOST_RETRY_SECONDS, poll * RETRY_POLLS)
    assert all(later == min(MOST_RETRY_SECONDS, 2 * sooner) for sooner, later in pairwise(waits))
