"""Networks that are trained for returns of candles, without classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from quantgod.dataset.samples import Samples
from quantgod.dataset.views import Views
from quantgod.dataset.windows import Windows
from quantgod.settings import ModelSettings
from quantgod.training.fitting import fit_network
from quantgod.training.predict import outputs
from tests.training.problems import train_settings

WINDOW, HORIZONS = 6, (1, 7)


def planted(rows: int, seed: int) -> tuple[Views, Samples]:
    """Candles of slow features, of which the newest three tell the scaled returns."""
    rng = np.random.default_rng(seed)
    features = lfilter([0.3], [1.0, -0.95], rng.standard_normal((rows, 8)), axis=0)
    truth = np.stack([features[:, 0] - features[:, 1], features[:, 2]], axis=1)
    volatility = np.exp(rng.normal(-4, 0.3, rows))
    scaled = truth + 0.3 * rng.standard_normal(truth.shape)
    returns = scaled * volatility[:, None] * np.sqrt(HORIZONS)
    returns[-7:, 1] = np.nan  # not known yet
    days = np.arange(rows, dtype=np.int64) * 86_400_000
    samples = replace(
        Samples.of_times(days, days + 7 * 86_400_000, days),
        row=np.arange(rows), returns=returns, volatility=volatility, horizons=HORIZONS,
        target=np.zeros(rows, np.int64), classes=np.zeros((rows, 2), np.int64),
        efficiency=np.zeros((rows, 2)),
    )  # fmt: skip
    views = Views({"features": Windows(torch.from_numpy(features.astype(np.float32)), WINDOW)})
    return views, samples.take(np.arange(WINDOW - 1, rows))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("bilstm_attention", {"hidden": 64, "dropout": 0.1}),
        ("causal_transformer", {"width": 16, "layers": 1, "feed_forward": 32, "dropout": 0.05}),
        ("lstm_direction", {"hidden": 16, "layers": 1}),
        ("transformer_trend", {"width": 16, "layers": 1, "attention_heads": 4}),
    ],
)
def test_a_planted_linear_relation_is_learned_in_seconds(name: str, params: dict) -> None:
    views, samples = planted(1_200, seed=5)
    train, validation = samples.take(np.arange(800)), samples.take(np.arange(807, len(samples)))
    settings = train_settings(
        objective="returns", schedule="warmup", warmup_steps=30, epochs=5, batch_size=32,
        learning_rate=0.01, patience=5,
    )  # fmt: skip
    model, objective, done = fit_network(
        ModelSettings(name=name, params=params), settings, views, train, validation
    )
    best = done.history[done.best_epoch].figures
    assert done.best_score == best["minus_huber"] < 0
    assert min(best["mse_skill_1"], best["mse_skill_7"]) > 0.5, best
    rows = torch.from_numpy(validation.row)
    assert outputs(model, views, rows, 64).keys() == {"expected_return"}
    again = objective.judge(outputs(model, views, rows, 64), objective.targets(validation))
    assert again.score == pytest.approx(done.best_score, rel=1e-5)
