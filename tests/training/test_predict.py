"""Prediction does not depend on how it is cut into batches."""

from __future__ import annotations

import numpy as np
import pytest

from quantgod.training.predict import predict
from tests.training.problems import Problem, network


@pytest.mark.parametrize("batch_size", [1, 7, 10_000])
def test_the_batch_size_does_not_change_what_is_said(small: Problem, batch_size: int) -> None:
    model, windows, rows = network(), small.material.views, small.validation.row
    said = predict(model, windows, rows, batch_size)
    assert said.shape == (len(rows), 3)
    np.testing.assert_allclose(said.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(said, predict(model, windows, rows, 64), atol=1e-6)


def test_no_rows_give_no_predictions(small: Problem) -> None:
    nothing = np.empty(0, np.int64)
    assert predict(network(), small.material.views, nothing, 8).shape == (0, 3)


def test_progress_is_told_in_windows(small: Problem) -> None:
    heard: list[tuple[int, int]] = []
    rows = small.validation.row[:25]
    predict(
        network(), small.material.views, rows, 10,
        progress=lambda done, total, _: heard.append((done, total)),
    )  # fmt: skip
    assert heard == [(10, 25), (20, 25), (25, 25)]
