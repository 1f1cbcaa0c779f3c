"""Weights that move: only with outcomes, the same bits again, and no worse than the best member."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgod.served.combiners.weights import FLOOR, Adaptive, Hedge

GIVEN = np.array([0.4, 0.35, 0.25])
kinds = pytest.mark.parametrize("moving", [Hedge(delay=3), Adaptive(half_life=20.0)], ids=repr)

Outcomes = list[tuple[np.ndarray, np.ndarray, int]]


def outcomes(seed: int, count: int = 60, members: int = 3) -> Outcomes:
    """Return what members said of moments, who spoke, and what came."""
    rng = np.random.default_rng(seed)
    return [
        (rng.dirichlet([1.0, 1, 1], members), rng.random(members) < 0.8, int(rng.integers(3)))
        for _ in range(count)
    ]


def states(moving: Hedge | Adaptive, matured: Outcomes) -> list[dict[str, Any]]:
    """Return the state at the start and after each outcome."""
    found = [moving.start(GIVEN)]
    for said, present, outcome in matured:
        found.append(moving.advance(found[-1], GIVEN, said, present, outcome))
    return found


@kinds
def test_without_outcomes_weights_are_those_given(moving: Hedge | Adaptive) -> None:
    weights = moving.weights(moving.start(GIVEN), GIVEN)
    np.testing.assert_allclose(weights / weights.sum(), GIVEN, rtol=1e-15)
    unheard = moving.advance(
        moving.start(GIVEN), GIVEN, np.full((3, 3), np.nan), np.zeros(3, np.bool_), 2
    )
    np.testing.assert_array_equal(moving.weights(unheard, GIVEN), weights)


@kinds
@given(seed=st.integers(0, 1000), cut=st.integers(0, 60))
def test_later_outcomes_change_no_earlier_weight_and_a_replay_gives_the_same_bits(
    moving: Hedge | Adaptive, seed: int, cut: int
) -> None:
    matured = outcomes(seed)
    other = states(moving, matured[:cut] + outcomes(seed + 1)[cut:])
    for one, two in zip(states(moving, matured)[: cut + 1], other[: cut + 1], strict=True):
        np.testing.assert_array_equal(moving.weights(one, GIVEN), moving.weights(two, GIVEN))


@kinds
def test_who_is_right_gains_and_who_was_absent_neither_gains_nor_loses(
    moving: Hedge | Adaptive,
) -> None:
    said = np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.0, 0.0, 1.0]])
    present = np.array([True, True, False])
    before = moving.start(GIVEN)
    after = moving.advance(before, GIVEN, said, present, 2)
    gained = moving.weights(after, GIVEN) / moving.weights(before, GIVEN)
    assert gained[0] > gained[1]
    np.testing.assert_allclose(gained[2], 1.0, rtol=1e-12)


@given(seed=st.integers(0, 1000))
def test_hedge_loses_at_most_the_log_of_the_number_of_members_to_the_best(seed: int) -> None:
    moving, rng = Hedge(rate=1.0, share=0.0), np.random.default_rng(seed)
    skill = rng.random(3) * 3
    state, own, members = moving.start(np.ones(3)), 0.0, np.zeros(3)
    for _ in range(200):
        outcome = int(rng.integers(3))
        said = np.array([rng.dirichlet(1 + one * np.eye(3)[outcome]) for one in skill])
        own -= np.log(max(moving.weights(state, np.ones(3)) @ said[:, outcome], FLOOR))
        members -= np.log(np.maximum(said[:, outcome], FLOOR))
        state = moving.advance(state, np.ones(3), said, np.ones(3, np.bool_), outcome)
    assert own <= members.min() + np.log(3) + 1e-9


def test_a_fixed_share_lets_a_member_return_that_was_bad_for_long() -> None:
    good, bad = np.array([0.05, 0.05, 0.9]), np.array([0.9, 0.05, 0.05])
    everyone = np.ones(2, np.bool_)

    def outcomes_until_return(share: float) -> int:
        moving, given_ = Hedge(rate=1.0, share=share), np.ones(2)
        state = moving.start(given_)
        for _ in range(300):
            state = moving.advance(state, given_, np.stack([good, bad]), everyone, 2)
        for count in range(1000):
            if state["weights"][1] > state["weights"][0]:
                return count
            state = moving.advance(state, given_, np.stack([good, bad]), everyone, 0)
        return 1000

    assert outcomes_until_return(0.01) < 5
    assert outcomes_until_return(0.0) > 100
