"""The MLP of arXiv 2502.15757."""

from __future__ import annotations

from quantgod.models import zoo
from quantgod.models.attention import SelfAttention
from quantgod.models.base import DOCUMENT_SHAPES


def test_the_published_mlp_has_236_298_parameters_on_100_snapshots_of_20_levels() -> None:
    def layer(size: int, hidden: int, output: int) -> int:
        return size * hidden + hidden + hidden * output + output + 2 * output

    norm, embedding = 2 * 80 + 2 * 100 + 2, 80 * 40 + 40
    pairs = 2 * (layer(40, 160, 40) + layer(100, 400, 100))
    last = layer(40, 80, 10) + layer(100, 200, 25)
    dense, heads = 250 * 62 + 62, 62 * 3 + 3
    assert norm + embedding + pairs + last + dense + heads == 236_298
    model = zoo.build("book_mlp", {}, shapes=DOCUMENT_SHAPES)
    assert zoo.parameter_count(model) == 236_298
    assert not any(isinstance(module, SelfAttention) for module in model.modules())
