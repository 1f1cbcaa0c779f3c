"""The published TLOB: attention over the numbers of the book and over time, in turn.

arXiv 2502.15757, with the sizes of its code for books of ten levels. That code passes queries, keys
and values through two linear maps one after the other, and the result too; here each pair is one
map, which can say the same. Document 001 calls another network TLOB: that one is `tlob`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from quantgod.models.alternating import Alternating, MixingMLP
from quantgod.models.attention import MLP_RATIO, SelfAttention, sinusoids
from quantgod.models.base import register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section

MultipleOfFour = Annotated[int, Field(gt=0, multiple_of=4)]


class DualAttentionTLOBSettings(Section):
    """Parameters of `DualAttentionTLOB`.

    Attributes:
        width: numbers of an embedded snapshot; as many as a book of ten levels has (published).
        pairs: of layers, one over the numbers and one over time (published).
        attention_heads: of a layer, each as wide as its axis is long (published).
    """

    width: MultipleOfFour = 40
    pairs: Positive = 4
    attention_heads: Positive = 1


@register(
    "dual_attention_tlob",
    DualAttentionTLOBSettings,
    space={"width": [40, 80, 128], "pairs": [2, 4, 6]},
    parameters=548_318,
    causal=False,
)
class DualAttentionTLOB(nn.Module):
    """Bilinear normalisation, pairs of attention layers, dense layers and heads.

    The book arrives normalised by what was known (`tlob` says how); bilinear normalisation then
    compares the snapshots of one window with each other.
    """

    def __init__(
        self,
        settings: DualAttentionTLOBSettings,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        heads: Heads,
    ) -> None:
        """Build for this many snapshots and levels."""
        super().__init__()
        self.trunk = Alternating(
            shapes["book"],
            settings.width,
            settings.pairs,
            embedded=Positions(shapes["book"][0], settings.width),
            layer=lambda size, output: AttentionLayer(size, output, settings.attention_heads),
        )
        self.heads = HeadLayers(self.trunk.numbers, heads)

    def forward(self, book: Float[Tensor, "batch time levels sides"]) -> Output:
        """Return what the heads say of the window."""
        return self.heads(self.trunk(book))  # type: ignore[no-any-return]


class Positions(nn.Module):
    """Add fixed sinusoidal positions."""

    positions: Tensor

    def __init__(self, time: int, width: int) -> None:
        super().__init__()
        self.register_buffer("positions", sinusoids(time, width), persistent=False)

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Keep the shape."""
        return steps + self.positions


class AttentionLayer(nn.Module):
    """Attention among the rows, then an MLP on each that returns `output` numbers a row."""

    def __init__(self, size: int, output: int, heads: int) -> None:
        super().__init__()
        self.attention = SelfAttention(size, heads, head_width=size)
        self.norm = nn.LayerNorm(size)
        self.mlp = MixingMLP(size, MLP_RATIO * size, output)
        self.keeps_length = size == output

    def forward(
        self, steps: Float[Tensor, "batch rows size"]
    ) -> Float[Tensor, "batch rows output"]:
        """Return the mixed rows, beside a residual where their length stays."""
        mixed = self.mlp(self.norm(self.attention(steps) + steps))
        return mixed + steps if self.keeps_length else mixed  # type: ignore[no-any-return]
