"""Ask a network what it forecasts, batch by batch, in eval mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from quantgod.contracts import Forecast, Integers, Progress, forecast_of, silent
from quantgod.dataset.views import Views
from quantgod.models.heads import Output
from quantgod.training.devices import choose_device


def predict(
    model: nn.Module,
    views: Views,
    rows: Integers,
    batch_size: int,
    class_weights: Sequence[float] | None,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> Forecast:
    """Return what a network forecasts of the moments that end at `rows`.

    Args:
        model: returns `probs`; it is moved to the device and left in eval mode.
        views: scaled.
        rows: (n,) positions of the moments' last rows.
        batch_size: moments per batch.
        class_weights: of its loss, which are undone; None where it had none.
        device: auto, cpu or cuda.
        progress: called after batches.

    Returns:
        Numbers in float64, computed in float32.
    """
    where = choose_device(device)
    output = outputs(
        model.to(where), views.to(where), torch.from_numpy(rows).to(where), batch_size, progress
    )
    return as_forecast(output, class_weights)


def as_forecast(output: Output, class_weights: Sequence[float] | None) -> Forecast:
    """Return the forecast that a network's output is."""
    numbers = {name: tensor.cpu().numpy().astype(np.float64) for name, tensor in output.items()}
    return forecast_of(
        numbers["probs"],
        class_weights,
        confidence=numbers.get("confidence"),
        expected_return=numbers.get("expected_return"),
    )


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
