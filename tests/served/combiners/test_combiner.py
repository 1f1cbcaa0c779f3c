"""A combiner is kept as text, and a batch of every n-th minute has the weights of every minute."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from quantgod.served.combiners.combiner import MS_PER_MINUTE, Combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.strategies import STRATEGIES
from quantgod.served.combiners.votes import Rules, Votes
from quantgod.served.combiners.weights import Adaptive, Hedge

FIXED = Combiner(("a", "b", "c"), "weighted_voting", (0.5, 0.3, 0.2))
MOVING = replace(FIXED, online=Hedge(rate=2.0, delay=3), every=5)


def moments(count: int = 200) -> dict[str, np.ndarray | Votes]:
    """Return votes of three members on every minute, and what came of them 15 minutes later."""
    rng = np.random.default_rng(3)
    target = rng.integers(3, size=count)
    skill = np.array([4.0, 1.0, 0.1])[:, None, None]
    raw = rng.random((3, count, 3)) + skill * np.eye(3)[target]
    votes = Votes(
        raw / raw.sum(axis=-1, keepdims=True),
        rng.random((3, count)),
        np.full((3, count), np.nan),
        np.ones((3, count), np.bool_),
    )
    time_ms = (1_000_003 + np.arange(count)) * MS_PER_MINUTE
    end_ms = time_ms + 15 * MS_PER_MINUTE
    return {"votes": votes, "time_ms": time_ms, "label_end_ms": end_ms, "target": target}


def every_fifth(given: dict[str, np.ndarray | Votes]) -> tuple[np.ndarray, dict]:
    """Return where the epoch minute is divisible by five, and the moments there."""
    at = np.flatnonzero(given["time_ms"] // MS_PER_MINUTE % 5 == 0)
    votes = given["votes"]
    parts = {name: getattr(votes, name)[:, at] for name in votes.__dataclass_fields__}
    return at, {
        name: Votes(**parts) if name == "votes" else value[at] for name, value in given.items()
    }


@pytest.mark.parametrize("online", [Hedge(rate=2.0, delay=3), Adaptive(half_life=30.0)], ids=repr)
def test_a_batch_of_every_fifth_minute_has_the_weights_of_all_minutes(
    online: Hedge | Adaptive,
) -> None:
    combiner = replace(MOVING, online=online)
    at, fewer = every_fifth(moments())
    all_of_them, state = combiner.weights_over(**moments())
    some, same = combiner.weights_over(**fewer)
    np.testing.assert_array_equal(all_of_them[:, at], some)
    assert {name: value.tolist() for name, value in state.items()} == {
        name: value.tolist() for name, value in same.items()
    }
    share = some / some.sum(axis=0)
    assert share[0, -1] > share[0, 0] + 0.03


def test_a_combiner_goes_on_from_the_state_that_it_was_kept_with() -> None:
    given = moments()
    found, state = MOVING.weights_over(**given)
    kept = Combiner.from_json(json.loads(json.dumps(replace(MOVING, state=state).to_json())))
    np.testing.assert_array_equal(kept.now, kept.started().weights)
    np.testing.assert_array_equal(MOVING.started(state).weights, kept.now)
    assert kept.now[0] > found[0, 0]
    np.testing.assert_array_equal(kept.combine(given["votes"]).probabilities,
        MOVING.combine(given["votes"], kept.now).probabilities)  # fmt: skip


@pytest.mark.parametrize(
    "combiner",
    [
        FIXED,
        MOVING,
        replace(MOVING, outcome=Outcome(60, 0.001, -0.002)),
        replace(FIXED, online=Adaptive(), min_confidence=(0.6, 0.5, 0.4)),
        replace(FIXED, strategy="majority", rules=Rules(2, 0.5, 0.4, 0.1, (2.0, 1.0, 2.0))),
    ],
)
def test_what_is_written_is_read_again(combiner: Combiner) -> None:
    text = json.dumps(combiner.to_json(), allow_nan=False)
    assert Combiner.from_json(json.loads(text)) == combiner


def test_another_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"consensus of format 1 expected, got \('average', 1\)"):
        Combiner.from_json(FIXED.to_json() | {"kind": "average"})


def test_weights_that_do_not_move_are_the_same_at_each_moment() -> None:
    found, state = FIXED.weights_over(**moments())
    assert state is None
    assert (found == np.array([[0.5], [0.3], [0.2]])).all()
    with pytest.raises(ValueError, match="weights of weighted_voting are fixed"):
        FIXED.started()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_class_weights_decide_as_they_do_for_a_single_network(strategy: str) -> None:
    said = np.array([[[0.35, 0.6, 0.05]]])
    votes = Votes(said, np.array([[0.6]]), np.array([[np.nan]]), np.array([[True]]))
    one = Combiner(("a",), strategy, (1.0,), Rules())
    weighted = replace(one, rules=Rules(class_weights=(2.0, 1.0, 2.0)))
    assert one.combine(votes).direction[0] == 1
    assert weighted.combine(votes).direction[0] == 0


@pytest.mark.parametrize(
    "change", [{"weights": (0.5, 0.5)}, {"min_confidence": (0.1,)}, {"members": ("a", "a", "b")}]
)
def test_a_combiner_of_other_members_is_refused(change: dict[str, tuple]) -> None:
    with pytest.raises(ValueError, match="a weight and a least confidence for each of"):
        replace(FIXED, **change)
