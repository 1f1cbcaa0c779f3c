"""The scaler has seen the training windows and nothing after them."""

from __future__ import annotations

import numpy as np
import torch

from quantgod.contracts import FEATURES
from quantgod.dataset.inputs import Inputs
from quantgod.training.material import material
from tests.training.problems import WINDOW, Problem


def test_what_comes_after_the_training_windows_does_not_move_the_scaler(small: Problem) -> None:
    last = small.train.row.max()
    later = small.table.copy()
    later.iloc[last + 1 :, : len(FEATURES)] = 1e6
    disturbed = material(later, small.train, Inputs(WINDOW))
    np.testing.assert_array_equal(disturbed.scaler.mean, small.material.scaler.mean)
    np.testing.assert_array_equal(disturbed.scaler.std, small.material.scaler.std)


def test_a_window_holds_the_scaled_rows_that_end_at_its_row(small: Problem) -> None:
    row = int(small.train.row[5])
    raw = small.table[list(FEATURES)].to_numpy()[row - WINDOW + 1 : row + 1]
    scaler = small.material.scaler
    wanted = ((raw - scaler.mean) / scaler.std).astype(np.float32)
    window = small.material.views(torch.tensor([row]))["bars"][0]
    np.testing.assert_array_equal(window.numpy(), wanted)
