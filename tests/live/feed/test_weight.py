from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.live.feed.weight import LONGEST_HOLD_SECONDS, RequestBudget


def _budget(weight: int = 20, limit: int = 2400, share: float = 0.25) -> RequestBudget:
    return RequestBudget(weight, limit, share, unsaid_seconds=60.0)


@given(
    st.integers(1, 40),
    st.integers(160, 800),
    st.floats(0.25, 1.0),
    st.lists(st.floats(0, 20), max_size=120),
)
def test_no_minute_holds_more_weight_than_the_share_allows(
    weight: int, limit: int, share: float, pauses: list[float]
) -> None:
    budget, now = _budget(weight, limit, share), 1000.0
    sent: list[float] = []
    for pause in pauses:
        now += pause
        now += budget.wait(now)
        assert budget.wait(now) < 1e-9  # waiting as long as it says is enough
        budget.spend(now)
        sent.append(now)
    for end in sent:
        # Up to rounding: a request leaves the window exactly a minute after it was sent.
        within = sum(1 for at in sent if end - 60.0 + 1e-6 < at <= end)
        assert within * weight <= limit * share


def test_a_budget_that_is_not_spent_lets_a_request_go_at_once() -> None:
    budget = _budget()
    for _ in range(30):  # 30 times 20 is a quarter of 2,400
        assert budget.wait(5.0) == 0.0
        budget.spend(5.0)
    assert budget.wait(5.0) == 60.0
    assert budget.wait(64.0) == 1.0
    assert budget.wait(65.0) == 0.0


def test_a_demand_to_wait_outranks_the_budget_and_only_grows() -> None:
    budget = _budget()
    assert budget.hold(100.0, 30.0) == 30.0
    assert budget.hold(101.0, 5.0) == 29.0
    assert budget.wait(129.0) == 1.0
    assert budget.wait(130.0) == 0.0


def test_a_demand_without_a_time_is_a_minute_and_an_absurd_one_three_days() -> None:
    assert _budget().hold(0.0, None) == 60.0
    assert _budget().hold(0.0, 1e30) == LONGEST_HOLD_SECONDS
    assert _budget().hold(50.0, 0.0) == 0.0


def test_a_budget_that_allows_no_request_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="weight 20 does not fit into 25% of 60"):
        _budget(limit=60)
