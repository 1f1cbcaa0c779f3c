"""The published MLP of the book: dense layers over its numbers and over time, in turn.

MLPLOB of arXiv 2502.15757: `dual_attention_tlob` without attention and positions. On
Bybit's BTC simple models match deep ones (arXiv 2506.05764).
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.alternating import Alternating, MixingMLP
from quantgod.models.base import register
from quantgod.models.dual_attention_tlob import MultipleOfFour
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section

MLP_RATIO = {True: 4, False: 2}
"""Hidden numbers by number of the axis: four, and two where the layer shortens it (published)."""


class BookMLPSettings(Section):
    """Parameters of `BookMLP`.

    Attributes:
        width: numbers of an embedded snapshot; as many as a book of ten levels has (published).
        pairs: of layers, one over the numbers and one over time (published).
    """

    width: MultipleOfFour = 40
    pairs: Positive = 3


@register(
    "book_mlp",
    BookMLPSettings,
    space={"width": [40, 80, 128], "pairs": [1, 3, 6]},
    parameters=236_298,
    causal=False,
)
class BookMLP(nn.Module):
    """Bilinear normalisation, pairs of MLPs, dense layers and heads, on a normalised book."""

    def __init__(
        self, settings: BookMLPSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        """Build for this many snapshots and levels."""
        super().__init__()
        self.trunk = Alternating(
            shapes["book"],
            settings.width,
            settings.pairs,
            embedded=nn.GELU(),
            layer=lambda size, output: MixingMLP(size, MLP_RATIO[size == output] * size, output),
        )
        self.heads = HeadLayers(self.trunk.numbers, heads)

    def forward(self, book: Float[Tensor, "batch time levels sides"]) -> Output:
        """Return what the heads say of the window."""
        return self.heads(self.trunk(book))  # type: ignore[no-any-return]
