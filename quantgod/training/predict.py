"""Run a network on windows, batch by batch, in eval mode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from quantgod.contracts import Floats, Integers, Progress, silent
from quantgod.dataset.views import Views
from quantgod.models.heads import Output
from quantgod.training.devices import choose_device


def predict(
    model: nn.Module,
    views: Views,
    rows: Integers,
    batch_size: int,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> Floats:
    """Return the class probabilities of the moments that end at `rows`, at the primary horizon.

    Args:
        model: returns `probs`; it is moved to the device and left in eval mode.
        views: scaled.
        rows: (n,) positions of the moments' last rows.
        batch_size: moments per batch.
        device: auto, cpu or cuda.
        progress: called after batches.

    Returns:
        (n, classes) float64, computed in float32.
    """
    where = choose_device(device)
    output = outputs(
        model.to(where), views.to(where), torch.from_numpy(rows).to(where), batch_size, progress
    )
    return output["probs"][:, 0].cpu().numpy().astype(np.float64)


def outputs(
    model: nn.Module, views: Views, rows: Tensor, batch_size: int, progress: Progress = silent
) -> Output:
    """Return all outputs of the network, joined over batches, in eval mode without gradients."""
    model.eval()
    with torch.inference_mode():
        parts = list(_batched(model, views, rows, batch_size, progress))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _batched(
    model: nn.Module, views: Views, rows: Tensor, batch_size: int, progress: Progress
) -> Iterator[Output]:
    # An empty `rows` still makes one empty batch, so that the result has its columns.
    for begin in range(0, max(len(rows), 1), batch_size):
        batch = rows[begin : begin + batch_size]
        yield model(**views(batch))
        progress(begin + len(batch), len(rows), "predict")
