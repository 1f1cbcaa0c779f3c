from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from quantgod.auditor.meta_features import MetaFeatures
from quantgod.contracts import FEATURES, META_FEATURES
from quantgod.registry import export
from quantgod.registry.export import ExportError, export_graph
from tests.registry.conftest import WINDOW, Parts


@pytest.fixture
def module(parts: Parts) -> MetaFeatures:
    scaler = parts.network.scaler
    return MetaFeatures(parts.network.model, scaler.mean, scaler.std)


@pytest.fixture
def windows(parts: Parts) -> np.ndarray:
    matrix = parts.bars[list(FEATURES)].to_numpy()
    return np.stack([matrix[at : at + WINDOW] for at in (0, 90, 200)])


def test_a_graph_of_two_windows_takes_any_number(
    module: MetaFeatures, windows: np.ndarray, tmp_path: Path
) -> None:
    difference = export_graph(module, {"windows": windows}, tmp_path / "graph.onnx")
    assert 0 <= difference <= 1e-6
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    for batch in (windows[:1], windows, np.concatenate([windows] * 7)):
        (said,) = session.run(None, {"windows": batch})
        with torch.inference_mode():
            expected = module(torch.from_numpy(batch)).numpy()
        assert said.dtype == np.float64
        assert said.shape == (len(batch), len(META_FEATURES))
        assert np.abs(said - expected).max() <= 1e-6


def test_a_graph_says_of_what_there_may_be_many(
    module: MetaFeatures, windows: np.ndarray, tmp_path: Path
) -> None:
    export_graph(module, {"windows": windows}, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    (given,), (said,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("windows", ["batch", WINDOW, len(FEATURES)])
    assert (said.name, said.shape[0]) == ("meta_features", "batch")


def test_a_feature_that_never_moved_in_training_moves_no_answer_of_the_graph(
    parts: Parts, windows: np.ndarray, tmp_path: Path
) -> None:
    column = FEATURES.index("log_volume")
    std = parts.network.scaler.std.copy()
    std[column] = 0.0
    module = MetaFeatures(parts.network.model, parts.network.scaler.mean, std)
    export_graph(module, {"windows": windows}, tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx")
    (before,) = session.run(None, {"windows": windows})
    windows[:, :, column] -= 1.3  # the level of another venue
    (after,) = session.run(None, {"windows": windows})
    assert after.tobytes() == before.tobytes()
    windows[:, :, column - 1] -= 1.3
    (other,) = session.run(None, {"windows": windows})
    assert np.abs(other - before).max() > 1e-3


def test_a_graph_that_says_something_else_is_refused_and_not_kept(
    module: MetaFeatures,
    windows: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ExportError, match="ONNX and torch differ by"):
        export_graph(module, {"windows": windows}, tmp_path / "graph.onnx")
    assert list(tmp_path.iterdir()) == []


class Fickle(torch.nn.Module):
    """Takes another path for a single window, which a traced graph cannot know."""

    def forward(self, bars: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = bars[:, -1, :3] if bars.shape[0] > 1 else bars[:, 0, :3]
        return {"probs": scores.softmax(dim=1)[:, None]}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_module_that_tracing_cannot_hold_is_refused(windows: np.ndarray, tmp_path: Path) -> None:
    fickle = MetaFeatures(Fickle(), np.zeros(9), np.ones(9))
    with pytest.raises(ExportError, match="differ"):
        export_graph(fickle, {"windows": windows}, tmp_path / "graph.onnx")


@pytest.mark.parametrize("shape", [(1, WINDOW, 9), (2, WINDOW, 8), (WINDOW, 9)])
def test_proof_of_another_shape_is_refused(
    module: MetaFeatures, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ExportError, match="windows of shape"):
        export_graph(module, {"windows": np.zeros(shape)}, tmp_path / "graph.onnx")


@pytest.mark.parametrize(
    ("shape", "worst", "told"),
    [
        ((2, WINDOW, 9), 0.0, None),
        ((2, 1, 9), export.TOLERANCE, None),
        ((3, 9, 9), export.TOLERANCE, None),
        ((3, 9, 9), np.nextafter(export.TOLERANCE, 1), "ONNX and torch differ by 1e-05"),
        ((3, 9, 9), np.nan, "differ by nan"),
        ((1, 2, 9), 0.0, "windows of shape"),
        ((0, 2, 9), 0.0, "windows of shape"),
        ((9, 9, 2), 0.0, "windows of shape"),
        ((9, 9), 0.0, "windows of shape"),
        ((9, 9, 9, 9), 0.0, "windows of shape"),
    ],
)
def test_two_windows_and_exactly_what_is_allowed_are_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: tuple[int, ...], worst: float,
    told: str | None,
) -> None:  # fmt: skip
    """Both are compared: all at once, and the first alone."""
    compared: list[int] = []

    def difference(module: object, inputs: Mapping[str, np.ndarray], path: Path) -> float:
        compared.append(len(inputs["windows"]))
        return worst if compared[-1] == 1 else 0.0

    monkeypatch.setattr(export, "write_graph", lambda *given: given[-1].write_bytes(b"graph"))
    monkeypatch.setattr(export, "_difference", difference)
    monkeypatch.setattr(export.onnx.checker, "check_model", lambda path, full_check: None)
    module = MetaFeatures(Fickle(), np.zeros(9), np.ones(9))
    if told is None:
        assert export_graph(module, {"windows": np.zeros(shape)}, tmp_path / "graph.onnx") == worst
        assert compared == [shape[0], 1]
    else:
        with pytest.raises(ExportError, match=told):
            export_graph(module, {"windows": np.zeros(shape)}, tmp_path / "graph.onnx")
    assert (tmp_path / "graph.onnx").exists() == (told is None)
