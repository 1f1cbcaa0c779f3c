"""TransformerTrendModel of document 003."""

from __future__ import annotations

import pytest
import torch

from quantgod.models import zoo
from quantgod.models.base import DOCUMENT_SHAPES
from quantgod.models.heads import Heads
from quantgod.settings import SettingsError


def test_the_document_s_sizes_give_808_195_parameters() -> None:
    """Of which 793,088 are the four blocks' (4 x 198,272)."""
    block = 4 * (128 * 128 + 128) + 128 * 512 + 512 + 512 * 128 + 128 + 4 * 128
    embedding, norm, heads = 112 * 128 + 128, 2 * 128, 128 * 3 + 3
    assert 4 * block == 793_088
    model = zoo.build("transformer_trend", {}, shapes=DOCUMENT_SHAPES)
    assert zoo.parameter_count(model) == embedding + 4 * block + norm + heads == 808_195
    assert {layer.attention[1].number for layer in model.blocks[:-1]} == {8}


def test_one_set_of_weights_serves_every_window_up_to_500_minutes() -> None:
    hour, longest = (
        zoo.build("transformer_trend", {}, shapes={"features": (time, 112)}).eval()
        for time in (60, 500)
    )
    longest.load_state_dict(hour.state_dict())
    assert longest(torch.randn(1, 500, 112))["probs"].shape == (1, 1, 3)
    with pytest.raises(SettingsError, match="at most 500 steps expected, got a window of 501"):
        zoo.build("transformer_trend", {}, shapes={"features": (501, 112)})


def test_the_order_of_minutes_matters_and_only_by_their_positions() -> None:
    model = zoo.build("transformer_trend", {}, shapes=DOCUMENT_SHAPES, heads=Heads(trend=True))
    model.eval()
    features, backwards = torch.randn(2, 60, 112), torch.arange(59, -1, -1)
    strength = model(features)["trend"]
    assert (model(features[:, backwards])["trend"] - strength).abs().max() > 1e-4
    model.positions = model.positions[backwards]
    torch.testing.assert_close(model(features[:, backwards])["trend"], strength)
