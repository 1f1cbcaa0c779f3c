"""TransformerForecaster of document 002: steps that attend to themselves and to earlier ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.attention import PostNormBlock
from quantgod.models.base import DropoutRate, register
from quantgod.models.dropout import Dropout
from quantgod.models.heads import Heads, HorizonHeads, Output
from quantgod.settings import Positive, Section

POSITION_SPREAD = 0.02
"""Standard deviation of learned positions before training, as in ViT (arXiv 2010.11929)."""


class CausalTransformerSettings(Section):
    """Parameters of `CausalTransformer`; the defaults are document 002's.

    The document drops out after the positions and in the heads; here the same rate also holds for
    what each half of a block adds (arXiv 1706.03762, section 5.4). It names no activation of the
    heads' dense layers (here GELU, as in the blocks).

    Attributes:
        width: numbers of an embedded step.
        layers: blocks of attention and feed-forward network.
        attention_heads: of a block.
        feed_forward: width inside the feed-forward network.
        dropout: of positions, blocks and heads.
    """

    width: Positive = 128
    layers: Positive = 3
    attention_heads: Positive = 4
    feed_forward: Positive = 512
    dropout: DropoutRate = 0.25


@register(
    "causal_transformer",
    CausalTransformerSettings,
    space={
        "width": [32, 64, 128],
        "layers": [1, 2, 3, 4],
        "feed_forward": [128, 256, 512],
        "dropout": [0.1, 0.25, 0.4],
    },
    parameters=633_859,
)
class CausalTransformer(nn.Module):
    """Projection, learned positions, causal blocks, the mean over time, heads by horizon."""

    def __init__(
        self,
        settings: CausalTransformerSettings,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        heads: Heads,
    ) -> None:
        """Build for this many steps and features.

        Raises:
            SettingsError: if the heads of attention cannot share the width equally.
        """
        super().__init__()
        (time, features), width, dropout = shapes["features"], settings.width, settings.dropout
        self.embedding = nn.Linear(features, width)
        self.positions = nn.Parameter(POSITION_SPREAD * torch.randn(time, width))
        self.dropout = Dropout(dropout)
        self.blocks = nn.Sequential(
            *(
                PostNormBlock(width, settings.attention_heads, settings.feed_forward, dropout)
                for _ in range(settings.layers)
            )
        )
        self.heads = HorizonHeads(width, width, dropout, heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the mean over all steps."""
        steps = self.blocks(self.dropout(self.embedding(features) + self.positions))
        return self.heads(steps.mean(1))  # type: ignore[no-any-return]
