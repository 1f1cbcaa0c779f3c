"""Export torch modules, first of all that of the meta-features, to ONNX graphs that are served."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from quantgod.auditor.meta_features import MetaFeatures
from quantgod.files import atomic_path

OPSET = 17
TOLERANCE = 1e-5
"""A sharp network's float32 answers were seen to differ by 1.3e-6 between the two, by rounding."""

# The exporter that traces an LSTM in 0.4 s is deprecated (its successor needs a minute), warns that
# an LSTM's batch might be fixed (it is not: `export_graph` tries two sizes), and of folds undone.
_EXPECTED = (
    "You are using the legacy TorchScript-based ONNX export",
    "The feature will be removed",
    "Exporting a model to ONNX with a batch_size other than 1",
    "Constant folding - Only steps=1 can be constant folded",
)

Inputs = Mapping[str, npt.NDArray[np.floating]]


class ExportError(ValueError):
    """The graph and the module give different results."""


def export_graph(module: MetaFeatures, inputs: Inputs, target: Path) -> float:
    """Write `module` as an ONNX graph of these inputs -> `meta_features` with a free batch size.

    The graph is accepted only if ONNX Runtime agrees with torch on the inputs, in one batch and for
    the first window alone, within `TOLERANCE`.

    Args:
        module: in eval mode; not changed.
        inputs: `windows`, raw, shape `(batch >= 2, time, columns)`, float64, and for a network of
            the book `book`, their blocks; use real ones, since they test the graph.
        target: file to write.

    Returns:
        The largest absolute difference.

    Raises:
        ExportError: if the input has a wrong shape or the outputs differ.
    """
    width, windows = len(module.mean), inputs["windows"]
    if windows.ndim != 3 or windows.shape[0] < 2 or windows.shape[2] != width:
        expected = f"windows of shape (2 or more, time, {width}) expected"
        raise ExportError(f"{expected}, got {windows.shape}")
    with atomic_path(target) as part:
        write_graph(module.cpu().eval(), _first(inputs, 2), "meta_features", part)
        onnx.checker.check_model(part, full_check=True)
        both = [_difference(module, batch, part) for batch in (inputs, _first(inputs, 1))]
        worst = float(np.max(both))  # unlike that of Python, it is NaN where either is
        if not worst <= TOLERANCE:
            raise ExportError(f"ONNX and torch differ by {worst:.3g}, {TOLERANCE} is allowed")
    return worst


def _first(inputs: Inputs, count: int) -> Inputs:
    return {name: np.ascontiguousarray(given[:count]) for name, given in inputs.items()}


def write_graph(
    module: torch.nn.Module, example: Inputs, output: str, path: Path, fixed: Inputs | None = None
) -> None:
    """Write a module as an ONNX graph, unchecked.

    Args:
        module: in eval mode; takes the inputs in their order, then the fixed ones.
        example: of each input, whose first axis is free.
        output: name of its only output, whose first axis is free.
        path: file to write.
        fixed: of each input whose shape stays as it is.
    """
    given = {**example, **(fixed or {})}
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message)
        # torch's own layers, and in tests the checkers of annotations, look at shapes while they
        # are traced; a warning about our code still counts.
        lookers = r"torch\.nn|jaxtyping|beartype"
        warnings.filterwarnings("ignore", "Converting a tensor to a Python", module=lookers)
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(np.array(one)) for one in given.values()),
            str(path),
            input_names=list(given),
            output_names=[output],
            dynamic_axes={name: {0: "batch"} for name in (*example, output)},
            opset_version=OPSET,
            dynamo=False,
        )


def _difference(module: MetaFeatures, inputs: Inputs, path: Path) -> float:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    whole = {name: np.ascontiguousarray(given) for name, given in inputs.items()}
    (served,) = session.run(None, whole)
    with torch.inference_mode():
        trained = module(*(torch.from_numpy(np.array(given)) for given in whole.values())).numpy()
    if served.shape != trained.shape:
        raise ExportError(f"columns of shape {trained.shape} expected, got {served.shape}")
    return float(np.abs(served - trained).max())
