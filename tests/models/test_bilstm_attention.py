"""EnhancedLSTM of document 002."""

from __future__ import annotations

import torch
from torch import nn

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.dropout import Dropout, dropouts
from quantgod.models.heads import Heads

CANDLES = {"features": (60, 60)}
RETURNS = Heads(horizons=3, expected_return=True, direction=False)


def lstm(inputs: int, hidden: int) -> int:
    return 4 * hidden * (inputs + hidden + 2)


def test_the_document_s_sizes_give_313_947_parameters_for_60_features_and_three_returns() -> None:
    residuals = sum(
        lstm(wide, narrow) + wide * narrow + narrow + 2 * narrow
        for wide, narrow in ((256, 64), (64, 32))
    )
    attention = 32 * 32 + 32 + 32
    dense = 32 * 64 + 64 + 2 * 64 + 64 * 32 + 32 + 2 * 32
    wanted = 2 * 60 + 2 * lstm(60, 128) + residuals + attention + dense + 3 * 33
    model = zoo.build("bilstm_attention", {}, shapes=CANDLES, heads=RETURNS)
    assert zoo.parameter_count(model) == wanted == 313_947
    drops = [(type(layer) is Dropout, layer.p) for layer in dropouts(model).values()]
    assert drops == [(False, 0.2), (True, 0.4)] * 2 + [(False, 0.2), (True, 0.4), (True, 0.4)]


def test_a_residual_lstm_adds_a_projection_and_normalises() -> None:
    model = zoo.build("bilstm_attention", {}, shapes=DOCUMENT_SHAPES).eval()
    layer, steps = model.lstms[3], torch.randn(2, 5, 256)
    wanted = layer.norm(layer.lstm.lstm(steps)[0] + layer.skip(steps))
    torch.testing.assert_close(layer(steps), wanted)
    kinds = [type(one) for one in model.dense]
    assert kinds == [nn.Linear, nn.ReLU, nn.LayerNorm, Dropout] * 2


def test_the_first_layer_alone_looks_both_ways() -> None:
    """After it no step sees a later one of those it is given."""
    model, steps = zoo.build("bilstm_attention", {}, shapes=CANDLES).eval(), torch.randn(1, 60, 60)
    changed = steps.clone()
    changed[:, 40:] += 1
    first = model.lstms[:2]
    assert not torch.equal(first(steps)[:, :40, 128:], first(changed)[:, :40, 128:])
    assert torch.equal(first(steps)[:, :40, :128], first(changed)[:, :40, :128])
    rest, states = model.lstms[2:], torch.randn(1, 60, 256)
    later = states.clone()
    later[:, 40:] += 1
    assert torch.equal(rest(states)[:, :40], rest(later)[:, :40])


def test_how_much_each_step_counts_is_what_the_forecast_is_made_of() -> None:
    model = zoo.build("bilstm_attention", {}, shapes=CANDLES, heads=RETURNS).eval()
    features = torch.randn(3, 60, 60)
    weights = model.attention_weights(features)
    assert weights.shape == (3, 60)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    seen = (weights[:, :, None] * model.lstms(features)).sum(1)
    torch.testing.assert_close(model.heads(model.dense(seen)), model(features))
