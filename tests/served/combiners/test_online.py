"""Weights at a moment know no outcome that had not matured, live as in batch."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quantgod.served.combiners.online import OnlineWeights, weights_over
from quantgod.served.combiners.weights import Adaptive, Hedge

GIVEN = np.array([0.5, 0.3, 0.2])
MINUTE = 60_000
kinds = pytest.mark.parametrize("moving", [Hedge(delay=3), Adaptive(half_life=9.0)], ids=repr)


def material(count: int = 80, hole: int = 40) -> dict[str, np.ndarray]:
    """Return a stretch of moments with a hole, labels 5 minutes ahead, and absent members."""
    rng = np.random.default_rng(5)
    time, present = np.arange(count) * MINUTE, rng.random((3, count)) < 0.9
    present[:, 0] = True
    time[hole:] += 30 * MINUTE
    return {
        "probabilities": rng.dirichlet([1.0, 1, 1], (3, count)),
        "present": present,
        "time_ms": time,
        "label_end_ms": time + 5 * MINUTE,
        "target": rng.integers(3, size=count),
    }


@kinds
@pytest.mark.parametrize("cut", [0, 7, 39, 40, 79])
def test_what_is_said_or_comes_after_a_moment_changes_no_bit_of_its_weights(
    moving: Adaptive | Hedge, cut: int
) -> None:
    given = material()
    now, other = given["time_ms"][cut], {name: value.copy() for name, value in given.items()}
    later = given["label_end_ms"] > now
    other["target"][later] = (other["target"][later] + 1) % 3
    other["probabilities"][:, cut:] = other["probabilities"][::-1, cut:]
    one, two = (weights_over(OnlineWeights(moving, GIVEN), **each) for each in (given, other))
    np.testing.assert_array_equal(one[:, : cut + 1], two[:, : cut + 1])
    if cut < 60:
        assert not np.array_equal(one[:, -1], two[:, -1])


@kinds
def test_an_outcome_counts_from_the_close_at_which_it_is_known(moving: Adaptive | Hedge) -> None:
    found = weights_over(OnlineWeights(moving, GIVEN), **material())
    first = found[:, 0]
    assert all(np.array_equal(found[:, at], first) for at in range(5))
    assert not np.array_equal(found[:, 5], first)


@kinds
def test_live_gives_the_bits_of_the_batch_also_from_a_state_that_was_kept(
    moving: Adaptive | Hedge,
) -> None:
    given = material()
    batch = weights_over(OnlineWeights(moving, GIVEN), **given)
    came = dict(zip(given["time_ms"].tolist(), given["target"].tolist(), strict=True))
    live = OnlineWeights(moving, GIVEN)
    for at, now in enumerate(given["time_ms"].tolist()):
        live.mature(now, came.get)
        np.testing.assert_array_equal(live.weights, batch[:, at])
        live.add(
            now, int(given["label_end_ms"][at]),
            given["probabilities"][:, at], given["present"][:, at],
        )  # fmt: skip
    text = json.dumps({name: value.tolist() for name, value in live.state.items()})
    kept = {name: np.array(value) for name, value in json.loads(text).items()}
    np.testing.assert_array_equal(OnlineWeights(moving, GIVEN, kept).weights, live.weights)


def test_a_moment_whose_outcome_never_came_is_closed_without_one() -> None:
    live = OnlineWeights(Hedge(), GIVEN)
    live.add(0, MINUTE, np.full((3, 3), 1 / 3), np.ones(3, np.bool_))
    asked: list[int] = []
    for now in (0, 2 * MINUTE, 3 * MINUTE):
        live.mature(now, asked.append)
    assert asked == [0]
    np.testing.assert_array_equal(live.weights, GIVEN)
