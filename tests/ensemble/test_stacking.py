"""Fitted weights find who knows, and are even where all say the same."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.ensemble.stacking import fit_stacking


def rows(count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Return a member that knows the probabilities, one that says nothing, and one of noise."""
    rng = np.random.default_rng(3)
    known = rng.dirichlet([1.0, 1, 1], count)
    target = (known.cumsum(axis=1) < rng.random(count)[:, None]).sum(axis=1)
    noise = rng.dirichlet([1.0, 1, 1], count)
    return np.stack([known, np.full((count, 3), 1 / 3), noise]), target


def test_the_member_that_knows_gets_nearly_all_and_noise_nothing() -> None:
    said, target = rows()
    weights = fit_stacking(said, target, np.ones(len(target)))
    assert weights[0] > 0.9
    assert weights[2] < 0.02
    assert weights.sum() == pytest.approx(1.0)


def test_order_changes_nothing_and_equals_get_equal_weights() -> None:
    said, target = rows()
    uniform = np.ones(len(target))
    np.testing.assert_allclose(
        fit_stacking(said[::-1], target, uniform), fit_stacking(said, target, uniform)[::-1],
        atol=1e-4,
    )  # fmt: skip
    np.testing.assert_allclose(fit_stacking(said[[0, 0, 0]], target, uniform), 1 / 3, atol=1e-6)
    assert fit_stacking(said[:1], target, uniform).tolist() == [1.0]


def test_a_row_weighs_what_its_label_holds_that_is_new() -> None:
    said, target = rows()
    doubled = np.concatenate([said, said[:, :500]], axis=1), np.concatenate([target, target[:500]])
    weight = np.where(np.arange(len(target)) < 500, 2.0, 1.0)
    np.testing.assert_allclose(
        fit_stacking(*doubled, np.ones(len(doubled[1]))), fit_stacking(said, target, weight),
        atol=1e-5,
    )  # fmt: skip


def test_without_rows_it_says_so() -> None:
    with pytest.raises(ValueError, match="no row on which all members speak"):
        fit_stacking(np.empty((2, 0, 3)), np.empty(0, np.int64), np.empty(0))
