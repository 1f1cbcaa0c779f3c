"""Run a network on windows, batch by batch, in eval mode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.dataset.windows import Windows
from quantgod.models.base import Output
from quantgod.training.devices import choose_device


def predict(
    model: nn.Module,
    windows: Windows,
    rows: Integers,
    batch_size: int,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> Floats:
    """Return the class probabilities of the windows that end at `rows`.

    Args:
        model: returns `probs`; it is moved to the device and left in eval mode.
        windows: of scaled features.
        rows: (n,) positions of the windows' last rows.
        batch_size: windows per batch.
        device: auto, cpu or cuda.
        progress: called after batches.

    Returns:
        (n, classes) float64, computed in float32.
    """
    where = choose_device(device)
    placed = Windows(windows.matrix.to(where), windows.length)
    output = outputs(
        model.to(where), placed, torch.from_numpy(rows).to(where), batch_size, progress
    )
    return output["probs"].cpu().numpy().astype(np.float64)


def outputs(
    model: nn.Module, windows: Windows, rows: Tensor, batch_size: int, progress: Progress = silent
) -> Output:
    """Return all outputs of the network, joined over batches, in eval mode without gradients."""
    model.eval()
    with torch.inference_mode():
        parts = list(_batched(model, windows, rows, batch_size, progress))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _batched(
    model: nn.Module, windows: Windows, rows: Tensor, batch_size: int, progress: Progress
) -> Iterator[Output]:
    # An empty `rows` still makes one empty batch, so that the result has its columns.
    for begin in range(0, max(len(rows), 1), batch_size):
        batch = rows[begin : begin + batch_size]
        yield model(windows(batch))
        progress(begin + len(batch), len(rows), "predict")
