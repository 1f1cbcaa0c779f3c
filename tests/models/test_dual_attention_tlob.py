"""The TLOB of arXiv 2502.15757."""

from __future__ import annotations

import torch

from quantgod.models import zoo
from quantgod.models.attention import sinusoids
from quantgod.models.base import DOCUMENT_SHAPES


def test_the_published_tlob_has_548_318_parameters_on_100_snapshots_of_20_levels() -> None:
    def layer(size: int, output: int) -> int:
        attention = 3 * (size * size + size) + size * size + size
        mlp = 4 * size * size + 4 * size + 4 * size * output + output
        return attention + mlp + 2 * size + 2 * output

    norm, embedding = 2 * 80 + 2 * 100 + 2, 80 * 40 + 40
    pairs = 3 * (layer(40, 40) + layer(100, 100)) + layer(40, 10) + layer(100, 25)
    dense, heads = 250 * 62 + 62, 62 * 3 + 3
    assert norm + embedding + pairs + dense + heads == 548_318
    model = zoo.build("dual_attention_tlob", {}, shapes=DOCUMENT_SHAPES)
    assert zoo.parameter_count(model) == 548_318


def test_it_knows_the_order_of_snapshots_by_fixed_positions() -> None:
    model = zoo.build("dual_attention_tlob", {}, shapes=DOCUMENT_SHAPES).eval()
    assert torch.equal(model.trunk.embedding[1].positions, sinusoids(100, 40))
    assert not any("positions" in name for name in model.state_dict())
    steps = torch.randn(1, 100, 80)
    embedded = model.trunk.embedding(steps) - model.trunk.embedding[0](steps)
    torch.testing.assert_close(embedded[0], sinusoids(100, 40), atol=1e-5, rtol=0)


def test_a_layer_adds_what_it_made_to_what_came_where_the_length_stays() -> None:
    model = zoo.build("dual_attention_tlob", {}, shapes=DOCUMENT_SHAPES).eval()
    layer, steps = model.trunk.layers[0], torch.randn(2, 100, 40)
    inner = layer.norm(layer.attention(steps) + steps)
    mixed = torch.nn.functional.gelu(layer.mlp.norm(layer.mlp.mlp(inner) + inner))
    torch.testing.assert_close(layer(steps), mixed + steps)
