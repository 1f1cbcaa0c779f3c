"""TransformerForecaster of document 002."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.dropout import Dropout, dropouts
from quantgod.models.heads import Heads
from quantgod.settings import SettingsError

CANDLES = {"features": (60, 60)}
RETURNS = Heads(horizons=3, expected_return=True, direction=False)


def test_the_document_s_sizes_give_660_227_parameters_for_60_features_and_three_returns() -> None:
    block = 4 * (128 * 128 + 128) + 128 * 512 + 512 + 512 * 128 + 128 + 4 * 128
    head = 128 * 128 + 128 + 128 + 1
    model = zoo.build("causal_transformer", {}, shapes=CANDLES, heads=RETURNS)
    wanted = 60 * 128 + 128 + 60 * 128 + 3 * block + 3 * head
    assert zoo.parameter_count(model) == wanted == 660_227
    assert {layer.attention[0].number for layer in model.blocks} == {4}
    assert {layer.p for layer in dropouts(model).values()} == {0.25}
    assert len(dropouts(model)) == 1 + 3 * 2 + 3


def test_the_heads_read_the_mean_over_all_steps_each_by_a_layer_of_its_own() -> None:
    model = zoo.build("causal_transformer", {}, shapes=CANDLES, heads=RETURNS).eval()
    features = torch.randn(3, 60, 60)
    mean = model.blocks(model.embedding(features) + model.positions).mean(1)
    said = model(features)["expected_return"]
    for k, horizon in enumerate(model.heads.each):
        assert [type(one) for one in horizon][:3] == [nn.Linear, nn.GELU, Dropout]
        alone = horizon[3].others["expected_return"](horizon[1](horizon[0](mean)))
        torch.testing.assert_close(said[:, k : k + 1], alone)


def test_a_step_sees_itself_and_earlier_ones_by_their_positions() -> None:
    model, features = (
        zoo.build("causal_transformer", {}, shapes=DOCUMENT_SHAPES).eval(),
        torch.randn(1, 60, 112),
    )
    for cut in (1, 30, 59):
        changed = features.clone()
        changed[:, cut:] = torch.randn(1, 60 - cut, 112) * 100
        before, after = (
            model.blocks(model.embedding(f) + model.positions) for f in (features, changed)
        )
        assert torch.equal(before[:, :cut], after[:, :cut])
        assert not torch.isclose(before[:, cut:], after[:, cut:]).all(2).any()
    probs = model(features)["probs"]
    assert not torch.allclose(model(features.flip(1))["probs"], probs)
    assert zoo.architecture("causal_transformer").causal


def test_heads_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(SettingsError, match="a width of 128 cannot be shared by 5 heads"):
        zoo.build("causal_transformer", {"attention_heads": 5}, shapes=CANDLES)
