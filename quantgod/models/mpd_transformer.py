"""MPDTransformer of document 001: a vision transformer on an hour of features, cut into patches.

A patch is 10 minutes of 14 neighbouring features. Unlike pixels, features are no translations of
each other, so each band of 14 features has a projection of its own. Which features share a band is
therefore part of the model, their order inside of it is not, and neither is the order of the bands:
weights that are permuted alike undo both. The 112 features in the order of their sets fill eight
bands; two of them hold features of two sets (book and candle, candle and indicator).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.attention import TransformerBlock
from quantgod.models.base import DropoutRate, register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section, SettingsError

INITIAL_DEVIATION = 0.02
"""Of the class token and the positions, as in ViT's code (arXiv 2010.11929)."""


class MPDTransformerSettings(Section):
    """Parameters of `MPDTransformer`; the defaults are document 001's.

    The document estimates 8 million parameters. Its sizes give 4.8 with one projection for all
    patches, and 5.0 with one a band.

    Attributes:
        patch_minutes: rows of a patch; must divide the window.
        patch_features: columns of a patch; must divide the number of features.
        width: numbers of an embedded patch.
        layers: blocks of attention and MLP (whose hidden layer is four times as wide).
        attention_heads: of a block.
        dropout: of embedding, attention and MLP.
    """

    patch_minutes: Positive = 10
    patch_features: Positive = 14
    width: Positive = 256
    layers: Positive = 6
    attention_heads: Positive = 8
    dropout: DropoutRate = 0.1


@register(
    "mpd_transformer",
    MPDTransformerSettings,
    space={
        "patch_minutes": [5, 10, 20],
        "width": [128, 256],
        "layers": [2, 4, 6],
        "dropout": [0.1, 0.2, 0.3],
    },
    parameters=5_041_411,
    causal=False,
)
class MPDTransformer(nn.Module):
    """Patches, a class token, learned positions, blocks, and heads on the class token."""

    def __init__(
        self,
        settings: MPDTransformerSettings,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        heads: Heads,
    ) -> None:
        """Build for this many minutes and features."""
        super().__init__()
        width = settings.width
        self.patches = PatchEmbedding(shapes["features"], settings)
        self.token = nn.Parameter(INITIAL_DEVIATION * torch.randn(1, 1, width))
        self.positions = nn.Parameter(
            INITIAL_DEVIATION * torch.randn(1 + self.patches.number, width)
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(width, settings.attention_heads, settings.dropout)
                for _ in range(settings.layers)
            ),
            nn.LayerNorm(width),
        )
        self.heads = HeadLayers(width, heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the class token."""
        token = self.token.expand(features.shape[0], -1, -1)
        steps = torch.cat([token, self.patches(features)], dim=1) + self.positions
        return self.heads(self.blocks(self.dropout(steps))[:, 0])  # type: ignore[no-any-return]


class PatchEmbedding(nn.Module):
    """Embed each patch by the projection of its band: a convolution that a group a band owns."""

    def __init__(self, shape: tuple[int, ...], settings: MPDTransformerSettings) -> None:
        """Build for a view of this shape.

        Raises:
            SettingsError: if patches do not divide the view.
        """
        super().__init__()
        time, features = shape
        minutes, columns = settings.patch_minutes, settings.patch_features
        if time % minutes or features % columns:
            raise SettingsError(
                f"mpd_transformer: patches of {minutes} x {columns} do not divide a view of "
                f"{time} x {features}; change patch_minutes or patch_features"
            )
        self.bands = features // columns
        self.number = self.bands * (time // minutes)
        self.projections = nn.Conv1d(
            features, self.bands * settings.width, minutes, stride=minutes, groups=self.bands
        )

    def forward(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch patches width"]:
        """Return the patches in order of time, and of bands within the same minutes."""
        embedded = self.projections(features.transpose(1, 2)).unflatten(1, (self.bands, -1))
        return embedded.permute(0, 3, 1, 2).flatten(1, 2)  # type: ignore[no-any-return]
