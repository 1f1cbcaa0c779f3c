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


def test_it_waits_until_as_many_requests_leave_the_minute_as_another_one_needs() -> None:
    """Three fit, whether the share ends with the third or just before a fourth."""
    for limit in (60, 79):
        budget = RequestBudget(20, limit, 1.0, unsaid_seconds=60.0)
        for now in (100.0, 101.0, 103.0):
            assert budget.wait(now) == 0.0
            budget.spend(now)
        assert budget.wait(103.0) == 57.0
        assert budget.wait(159.5) == 0.5
        assert budget.wait(160.0) == 0.0
        budget.spend(160.0)
        assert budget.wait(160.0) == 1.0, "the next one to leave is of 101"
        assert budget.wait(161.0) == 0.0
        budget.spend(161.0)
        assert budget.wait(161.0) == 2.0
        assert budget.wait(1_000.0) == 0.0


def test_a_request_that_is_as_heavy_as_the_share_fits_alone() -> None:
    budget = RequestBudget(20, 80, 0.25, unsaid_seconds=60.0)
    assert budget.wait(7.0) == 0.0
    budget.spend(7.0)
    assert budget.wait(7.0) == 60.0
    with pytest.raises(ValueError, match="does not fit"):
        RequestBudget(21, 80, 0.25, unsaid_seconds=60.0)


def test_nothing_is_held_before_a_demand_and_after_its_end() -> None:
    budget = _budget()
    assert budget.held(0.0) == budget.held(9.0) == 0.0
    budget.hold(10.0, 5.0)
    assert [budget.held(now) for now in (10.0, 14.5, 15.0, 15.5, 99.0)] == [5.0, 0.5, 0.0, 0.0, 0.0]
