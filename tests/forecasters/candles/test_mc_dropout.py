"""Monte Carlo dropout of torch networks: seeded, of any batch, and as dropout's theory has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from quantgod.dataset.views import Views
from quantgod.dataset.windows import Windows
from quantgod.forecasters.candles.mc_dropout import draw_masks, mc_forecast
from quantgod.models import zoo
from quantgod.models.dropout import Dropout
from quantgod.models.heads import Heads
from quantgod.training.predict import outputs

RETURNS = Heads(horizons=3, expected_return=True, direction=False)
ROWS = np.arange(5, 25)


def views(seed: int = 0) -> Views:
    matrix = np.random.default_rng(seed).standard_normal((25, 3)).astype(np.float32)
    return Views({"features": Windows(torch.from_numpy(matrix), 6)})


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("bilstm_attention", {"hidden": 8}),
        ("causal_transformer", {"width": 8, "layers": 1, "feed_forward": 16}),
        ("lstm_direction", {"hidden": 8}),
        ("transformer_trend", {"width": 8, "layers": 1, "attention_heads": 2}),
    ],
)
def test_the_same_seed_gives_the_same_spread_in_any_batch(name: str, params: dict) -> None:
    model, seen = zoo.build(name, params, shapes={"features": (6, 3)}, heads=RETURNS), views()
    before = torch.get_rng_state()
    mean, variance = mc_forecast(model, seen, ROWS, 6, 3, 32, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert mean.shape == variance.shape == (20, 3)
    assert (variance > 0).all()
    for again in (mc_forecast(model, seen, ROWS, 6, 3, size, "cpu") for size in (7, 1)):
        np.testing.assert_allclose(again[0], mean, rtol=0, atol=1e-6)
        np.testing.assert_allclose(again[1], variance, rtol=0, atol=1e-6)
    other, _ = mc_forecast(model, seen, ROWS, 6, 4, 32, "cpu")
    assert np.abs(other - mean).max() > 1e-4
    rows = torch.from_numpy(ROWS)
    calm = [outputs(model, seen, rows, 32)["expected_return"] for _ in range(2)]
    assert torch.equal(*calm), "no mask is left"


class Linear(nn.Module):
    """A linear model of dropped inputs, whose mean and variance under dropout are known."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.layer = Dropout(0.3), nn.Linear(3, 1)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"expected_return": self.layer(self.dropout(features)[:, -1])}


def test_mean_and_variance_are_those_of_dropout() -> None:
    """Var(Σ w x m) = Σ (w x)² p / (1 - p) for independent masks m of mean one."""
    torch.manual_seed(1)
    model, seen = Linear(), views()
    mean, variance = mc_forecast(model, seen, ROWS, 600, 5, 32, "cpu")
    newest = seen(torch.from_numpy(ROWS))["features"][:, -1].double()
    parts = (newest * model.layer.weight.detach().double()).numpy()
    wanted = (parts**2).sum(1) * 0.3 / 0.7
    np.testing.assert_allclose(variance[:, 0], wanted, rtol=0.3)
    error = np.abs(mean[:, 0] - parts.sum(1) - model.layer.bias.item())
    assert (error < 5 * np.sqrt(wanted / 600)).all()


def test_the_first_of_more_draws_are_the_same_and_rates_are_kept() -> None:
    model = zoo.build("bilstm_attention", {}, shapes={"features": (6, 3)}, heads=RETURNS).eval()
    few, many = (draw_masks(model, views(), draws, 9) for draws in (3, 40))
    for name, kept in many.kept.items():
        assert np.array_equal(kept[:3], few.kept[name])
        rate = 1 - 1 / many.scales[name]
        assert abs((~kept).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / kept.size)
    with pytest.raises(ValueError, match="two or more"):
        draw_masks(model, views(), 1, 9)
