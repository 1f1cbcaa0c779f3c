"""The graph of a network of candles, asked by served code, against torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file

from quantgod.dataset.views import Views
from quantgod.dataset.windows import Windows
from quantgod.forecasters.candles.mc_dropout import draw_masks, mc_forecast
from quantgod.models import zoo
from quantgod.models.heads import Heads
from quantgod.registry.daily import network_graph
from quantgod.registry.daily.network_graph import GRAPH, MASKS, export_network
from quantgod.registry.export import ExportError
from quantgod.served.candles import mc_dropout
from quantgod.served.candles.mc_dropout import Masks, ask, masks_of
from quantgod.training.predict import outputs

RETURNS = Heads(horizons=3, expected_return=True, direction=False)
ROWS, DRAWS, SEED = np.arange(59, 90), 5, 7

both = pytest.mark.parametrize("name", ["bilstm_attention", "causal_transformer"])


def views() -> Views:
    matrix = np.random.default_rng(2).standard_normal((90, 60)).astype(np.float32)
    return Views({"features": Windows(torch.from_numpy(matrix), 60)})


@both
def test_served_code_says_what_torch_says_once_and_in_many_draws(name: str, tmp_path: Path) -> None:
    """At the document's sizes, 60 candles of 60 features, without torch's masks or weights."""
    model, seen = zoo.build(name, {}, shapes=views().shapes, heads=RETURNS).eval(), views()
    windows = seen(torch.from_numpy(ROWS))["features"].numpy()
    masks = draw_masks(model, seen, DRAWS, SEED)
    assert 0 < export_network(model, windows[:3], masks, tmp_path) <= 1e-5
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((GRAPH, MASKS))
    session = onnxruntime.InferenceSession(tmp_path / GRAPH, providers=["CPUExecutionProvider"])
    stored = masks_of(load_file(tmp_path / MASKS))
    once = outputs(model, seen, torch.from_numpy(ROWS), 64)["expected_return"].numpy()
    for some in (slice(None), slice(0, 1)):
        said = ask(session, windows[some], stored.nothing())
        np.testing.assert_allclose(said, once[some], rtol=0, atol=1e-5)
    trained = mc_forecast(model, seen, ROWS, DRAWS, SEED, 64, "cpu")
    served = mc_dropout.mc_forecast(session, windows, stored)
    for one, other in zip(served, trained, strict=True):
        assert one.shape == (len(ROWS), 3)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    calm, drawn = stored.nothing(), stored.draw(0)
    for layer in stored.kept:
        alone = ask(session, windows, {**calm, layer: drawn[layer]})
        assert np.abs(alone - once).max() > 1e-4, layer


def test_a_graph_that_differs_or_windows_that_cannot_test_it_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, shapes = {"width": 8, "layers": 1, "feed_forward": 8}, {"features": (60, 60)}
    model = zoo.build("causal_transformer", params, shapes=shapes, heads=RETURNS).eval()
    windows = views()(torch.from_numpy(ROWS))["features"].numpy()
    masks = draw_masks(model, views(), DRAWS, SEED)
    with pytest.raises(ExportError, match=r"2 or more, time, columns\) expected, got \(1, 60, 60"):
        export_network(model, windows[:1], masks, tmp_path)
    monkeypatch.setattr(network_graph, "ask", lambda *given: ask(*given) + 1e-4)
    with pytest.raises(ExportError, match=r"ONNX and torch differ by 0\.0001"):
        export_network(model, windows[:3], masks, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("draws", "scales"), [((3, 2), "ab"), ((1, 1), "ab"), ((2, 2), "a"), ((), "")]
)
def test_masks_of_unequal_draws_or_without_scales_are_refused(
    draws: tuple[int, ...], scales: str
) -> None:
    kept = {name: np.ones((n, 4), np.bool_) for name, n in zip("ab", draws, strict=False)}
    with pytest.raises(ValueError, match="equally many draws of each layer, two or more"):
        Masks(kept, dict.fromkeys(scales, 2.0))
