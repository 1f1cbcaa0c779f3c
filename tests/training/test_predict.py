"""Prediction does not depend on how it is cut into batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quantgod.models.heads import Output
from quantgod.training.predict import predict
from tests.training.problems import Problem, network


@pytest.mark.parametrize("batch_size", [1, 7, 10_000])
def test_the_batch_size_does_not_change_what_is_said(small: Problem, batch_size: int) -> None:
    model, windows, rows = network(), small.material.views, small.validation.row
    said, other = (predict(model, windows, rows, size, None) for size in (batch_size, 64))
    assert said.probabilities.shape == (len(rows), 1, 3)
    np.testing.assert_allclose(said.probabilities.sum(2), 1, atol=1e-6)
    np.testing.assert_allclose(said.probabilities, other.probabilities, atol=1e-6)


def test_no_rows_give_no_predictions(small: Problem) -> None:
    nothing = np.empty(0, np.int64)
    said = predict(network(), small.material.views, nothing, 8, None)
    assert said.probabilities.shape == (0, 1, 3) and said.confidence.shape == (0, 1)


def test_progress_is_told_in_windows(small: Problem) -> None:
    heard: list[tuple[int, int]] = []
    rows = small.validation.row[:25]
    predict(
        network(), small.material.views, rows, 10, None,
        progress=lambda done, total, _: heard.append((done, total)),
    )  # fmt: skip
    assert heard == [(10, 25), (20, 25), (25, 25)]


def test_every_horizon_is_told_and_of_no_rows_one_batch(small: Problem) -> None:
    class Two(nn.Module):
        def forward(self, bars: Tensor) -> Output:
            first = bars[:, -1, :3].softmax(1)
            return {"probs": torch.stack([first, 1 - first], dim=1)}

    views, rows = small.material.views, small.validation.row[:5]
    said = predict(Two(), views, rows, 2, None, device="cpu").probabilities
    last = views(torch.from_numpy(rows))["bars"][:, -1, :3].softmax(1)
    np.testing.assert_allclose(said, np.stack([last, 1 - last], axis=1))
    heard: list[tuple[int, int, str]] = []
    nothing = np.empty(0, np.int64)
    predict(
        Two(), views, nothing, 1, None, device="cpu", progress=lambda *given: heard.append(given)
    )
    assert heard == [(0, 0, "predict")]
