"""Loss and score against their definitions, written by other means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from quantgod.contracts import CLASSES
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from quantgod.training.objectives import WeightedCrossEntropy

WEIGHTS = (2.0, 1.0, 2.0)

pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


def test_the_loss_weighs_each_window_by_its_class() -> None:
    logits = torch.randn(40, 3, generator=torch.manual_seed(0))
    target = torch.arange(40) % 3
    weights = np.array(WEIGHTS)[target.numpy()]
    chances = np.exp(logits.numpy().astype(float))
    chances /= chances.sum(1, keepdims=True)
    surprise = -np.log(chances[np.arange(40), target])
    wanted = (weights * surprise).sum() / weights.sum()
    assert float(WeightedCrossEntropy(WEIGHTS).loss({"logits": logits}, target)) == pytest.approx(
        wanted, rel=1e-6
    )


@given(pairs)
@settings(max_examples=50, deadline=None)
def test_the_figures_are_those_of_scikit_learn(drawn: list[tuple[int, int]]) -> None:
    truth, said = np.array(drawn).T
    wanted = precision_recall_fscore_support(truth, said, labels=[0, 1, 2], zero_division=0)
    came = precision_recall_f1(confusion_matrix(truth, said))
    np.testing.assert_allclose(came, np.stack(wanted[:3]))


def test_a_model_that_always_says_neutral_scores_what_facts_say() -> None:
    """77 % NEUTRAL: accuracy 0.77 and macro-F1 0.29 (2 * 0.77 / 1.77 / 3)."""
    truth = torch.tensor([1] * 77 + [0] * 12 + [2] * 11)
    always = {"logits": torch.tensor([[0.0, 1.0, 0.0]]).expand(100, 3)}
    score, figures = WeightedCrossEntropy(WEIGHTS).judge(always, truth)
    assert score == figures["macro_f1"] == pytest.approx(2 * 0.77 / 1.77 / 3)
    assert [figures[f"recall_{name.lower()}"] for name in CLASSES] == [0, 1, 0]
