"""TLOB of document 001: convolutions over the levels of the book, then attention over snapshots.

Not the published TLOB (`dual_attention_tlob`). The view brings the book normalised by what was
known: prices as (price - mid of the window's last snapshot) / (mid * past volatility), sizes as
ln(size / past mean depth). The network has no BatchNorm, which would mix the scales of quiet and
busy days.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.attention import TransformerBlock
from quantgod.models.base import DropoutRate, register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section

LEVEL_CHANNELS = (32, 64, 128)
"""Document 001's `spatial_channels`."""
LEVEL_KERNEL = 3
"""Levels a convolution sees; three of them reach 3, 5 and 7 levels."""
SCALES = (3, 5, 7)
"""Snapshots that the short, medium and long convolution see (document 001)."""
SCALE_CHANNELS = 32
"""Of each scale; the document gives none."""
INITIAL_DEVIATION = 0.02
"""Of level embeddings and positions, as in ViT's code (arXiv 2010.11929)."""


class TLOBSettings(Section):
    """Parameters of `TLOB`; the defaults are document 001's.

    The document estimates 5 million parameters; its sizes give 1.27.

    Attributes:
        width: numbers of an embedded snapshot.
        layers: blocks of attention and MLP (whose hidden layer is four times as wide).
        attention_heads: of a block.
        dropout: of embedding, attention and MLP.
    """

    width: Positive = 128
    layers: Positive = 4
    attention_heads: Positive = 4
    dropout: DropoutRate = 0.1


@register(
    "tlob",
    TLOBSettings,
    space={"width": [64, 128, 256], "layers": [2, 4], "dropout": [0.1, 0.2, 0.3]},
    parameters=1_271_619,
    causal=False,
)
class TLOB(nn.Module):
    """Levels, scales of time, the features as an extra token, attention, and heads by horizon.

    The heads read the newest snapshot, which attention has let look at all others.
    """

    def __init__(
        self, settings: TLOBSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        """Build for this many snapshots, levels and features."""
        super().__init__()
        time, levels, sides = shapes["book"]
        (features,) = shapes["aux"]
        width = settings.width
        self.levels = LevelEncoder(levels, sides, width)
        self.scales = ScaleEncoder(width)
        self.features = nn.Sequential(
            nn.Linear(features, width), nn.GELU(), nn.Linear(width, width)
        )
        self.positions = nn.Parameter(INITIAL_DEVIATION * torch.randn(1 + time, width))
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(width, settings.attention_heads, settings.dropout)
                for _ in range(settings.layers)
            ),
            nn.LayerNorm(width),
        )
        self.heads = HeadLayers(width, heads)

    def forward(
        self,
        book: Float[Tensor, "batch time levels sides"],
        aux: Float[Tensor, "batch features"],
    ) -> Output:
        """Return what the heads say of the newest snapshot."""
        snapshots = self.scales(self.levels(book))
        steps = torch.cat([self.features(aux).unsqueeze(1), snapshots], dim=1) + self.positions
        return self.heads(self.blocks(self.dropout(steps))[:, -1])  # type: ignore[no-any-return]


class LevelEncoder(nn.Module):
    """Convolve over the levels of each snapshot, and project all levels together.

    Nothing is pooled over levels: the best bid is no average of twenty. Embeddings tell the
    convolutions at which level they are.
    """

    def __init__(self, levels: int, sides: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(INITIAL_DEVIATION * torch.randn(LEVEL_CHANNELS[0], 1, levels))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (1, LEVEL_KERNEL), padding=(0, LEVEL_KERNEL // 2))
            for inputs, outputs in zip((sides, *LEVEL_CHANNELS), LEVEL_CHANNELS, strict=False)
        )
        self.activation = nn.GELU()
        self.projection = nn.Sequential(
            nn.Linear(LEVEL_CHANNELS[-1] * levels, width), nn.LayerNorm(width)
        )

    def forward(
        self, book: Float[Tensor, "batch time levels sides"]
    ) -> Float[Tensor, "batch time width"]:
        """Return one vector a snapshot, which depends on that snapshot alone."""
        return self.projection(self.by_level(book).permute(0, 2, 1, 3).flatten(2))  # type: ignore[no-any-return]

    def by_level(
        self, book: Float[Tensor, "batch time levels sides"]
    ) -> Float[Tensor, "batch channels time levels"]:
        """Return what the convolutions make of each level and its neighbours."""
        first, *others = self.convolutions
        seen = self.activation(first(book.permute(0, 3, 1, 2)) + self.embedding)
        for convolution in others:
            seen = self.activation(convolution(seen))
        return seen  # type: ignore[no-any-return]


class ScaleEncoder(nn.Module):
    """Convolve over short, medium and long stretches of snapshots; concatenate and project."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Conv1d(width, SCALE_CHANNELS, scale, padding=scale // 2) for scale in SCALES
        )
        self.projection = nn.Sequential(nn.GELU(), nn.Linear(len(SCALES) * SCALE_CHANNELS, width))

    def forward(
        self, snapshots: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Keep the shape."""
        over_time = snapshots.transpose(1, 2)
        seen = torch.cat([scale(over_time) for scale in self.scales], dim=1)
        return self.projection(seen.transpose(1, 2))  # type: ignore[no-any-return]
