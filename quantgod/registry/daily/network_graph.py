"""Export a network of candles to a graph that takes its dropout masks, if any, as inputs.

One graph serves both: with ones for masks it is the network in eval mode, with the stored masks its
answers spread as torch's do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from quantgod.files import atomic_path
from quantgod.models.dropout import masked
from quantgod.registry.export import TOLERANCE, ExportError, write_graph
from quantgod.served.candles.mc_dropout import Masks, Session, ask

GRAPH: Final = "network.onnx"
MASKS: Final = "masks.safetensors"
"""The graph, and the masks that it is asked with, as `Masks.arrays` names them."""

RETURNS: Final = "expected_return"
PROBABILITIES: Final = "probs"
"""What a graph says: expected returns (n, horizons), or probabilities (n, horizons, classes)."""


class _Masked(nn.Module):
    """A network whose masks are inputs."""

    def __init__(self, model: nn.Module, names: tuple[str, ...], output: str) -> None:
        super().__init__()
        self.model, self.names, self.output = model, names, output

    def forward(self, features: Tensor, *masks: Tensor) -> Tensor:
        """Return the output that is served."""
        with masked(self.model, dict(zip(self.names, masks, strict=True))):
            return self.model(features=features)[self.output]  # type: ignore[no-any-return]


def export_network(
    model: nn.Module,
    windows: npt.NDArray[np.float32],
    masks: Masks | None,
    folder: Path,
    output: str = RETURNS,
) -> float:
    """Write a network's graph, and its masks if it has any, into a folder.

    The graph is accepted only if ONNX Runtime agrees with torch on the windows, in one batch and
    for the first alone, without masks and with the first and last draw, within `TOLERANCE`.

    Args:
        model: looks at `features` alone and answers `output`; left in eval mode, on the CPU.
        windows: (2 or more, time, columns), scaled; use real ones, since they test the graph.
        masks: drawn for this network; None for a graph that takes none.
        folder: of `GRAPH` and `MASKS`.
        output: that the graph says, `RETURNS` or `PROBABILITIES`.

    Returns:
        The largest absolute difference.

    Raises:
        ExportError: if there are fewer than two windows or the outputs differ.
    """
    if windows.ndim != 3 or len(windows) < 2:
        raise ExportError(f"windows (2 or more, time, columns) expected, got {windows.shape}")
    names = () if masks is None else tuple(masks.kept)
    module = _Masked(model.cpu().eval(), names, output).eval()
    fixed = None if masks is None else masks.draw(0)
    with atomic_path(folder / GRAPH) as part:
        write_graph(module, {"features": windows[:2]}, output, part, fixed=fixed)
        onnx.checker.check_model(part, full_check=True)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        batches = (windows, windows[:1])
        worst = float(np.max([_difference(module, session, batch, masks) for batch in batches]))
        if not worst <= TOLERANCE:
            raise ExportError(f"ONNX and torch differ by {worst:.3g}, {TOLERANCE} is allowed")
    if masks is not None:
        with atomic_path(folder / MASKS) as part:
            save_file(masks.arrays(), part)
    return worst


def _difference(
    module: _Masked, session: Session, windows: npt.NDArray[np.float32], masks: Masks | None
) -> float:
    features, worst = torch.from_numpy(np.array(windows)), 0.0
    drawn = [] if masks is None else [masks.draw(0), masks.draw(masks.draws - 1)]
    for given in (None, *drawn):
        calm = {} if masks is None else masks.nothing()
        served = ask(session, windows, calm if given is None else given)
        with torch.inference_mode():
            if given is None:
                trained = module.model(features=features)[module.output]
            else:
                trained = module(features, *map(torch.from_numpy, given.values()))
        if served.shape != trained.shape:
            raise ExportError(
                f"{module.output} {tuple(trained.shape)} expected, got {served.shape}"
            )
        worst = float(np.maximum(worst, np.abs(served - trained.numpy()).max()))
    return worst
