"""A member that stops knowing anything halfway costs moving weights less than fixed ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantgod.ensemble.fitting import OutOfFoldVotes
from quantgod.ensemble.spoilt import losses_with_a_spoilt_member
from quantgod.served.combiners.votes import Votes
from quantgod.settings import load_settings

SETTINGS = load_settings(Path("conf/ensemble_power.yaml"))
MOMENTS, MINUTE = 4_000, 60_000


def said(target: np.ndarray, sharpness: float, rng: np.random.Generator) -> np.ndarray:
    """Probabilities that know the class as well as `sharpness` says."""
    scores = rng.normal(size=(len(target), 3)) + sharpness * np.eye(3)[target]
    powers = np.exp(scores)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def made() -> OutOfFoldVotes:
    rng = np.random.default_rng(5)
    target = rng.integers(0, 3, MOMENTS)
    each = np.stack([said(target, sharpness, rng) for sharpness in (1.0, 3.0, 1.0)])
    present = np.ones(each.shape[:2], np.bool_)
    votes = Votes(each, each.max(axis=-1), np.full(present.shape, np.nan), present)
    time_ms = np.arange(MOMENTS) * 2 * MINUTE
    ones = np.ones(MOMENTS)
    return OutOfFoldVotes(votes, time_ms, time_ms + 2 * MINUTE, target, ones, ones.astype(np.int64))


def test_moving_weights_leave_the_spoilt_member_and_fixed_ones_do_not() -> None:
    lost = losses_with_a_spoilt_member(["a", "best", "c"], made(), SETTINGS)
    assert list(lost) == ["weighted_voting", "adaptive", "hedge"]
    assert lost["hedge"] < lost["adaptive"] < lost["weighted_voting"]


def test_the_best_member_of_the_first_half_is_spoilt_and_what_was_made_stays_as_it_was() -> None:
    whole = made()
    before = whole.votes.probabilities.copy()
    hurt = losses_with_a_spoilt_member(["a", "best", "c"], whole, SETTINGS)
    np.testing.assert_array_equal(whole.votes.probabilities, before)
    even = whole.votes.probabilities.mean(axis=0)
    came = np.take_along_axis(even, whole.target[:, None], axis=1)[MOMENTS // 2 :]
    unhurt = float(-np.log(came).mean())
    assert hurt["weighted_voting"] > unhurt + 0.1
    assert hurt == losses_with_a_spoilt_member(["a", "best", "c"], whole, SETTINGS)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_draws_another_order(seed: int) -> None:
    own = SETTINGS.model_copy(
        update={"simulate": SETTINGS.simulate.model_copy(update={"seed": seed})}
    )
    lost = losses_with_a_spoilt_member(["a", "best", "c"], made(), own)
    assert lost != losses_with_a_spoilt_member(["a", "best", "c"], made(), SETTINGS)
