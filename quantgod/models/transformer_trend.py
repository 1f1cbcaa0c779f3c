"""TransformerTrendModel of document 003: a transformer over an hour of features.

The document asks it for the strength of the trend, 0 to 1: the head `trend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from quantgod.models.attention import TransformerBlock, sinusoids
from quantgod.models.base import DropoutRate, register
from quantgod.models.dropout import Dropout
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section, SettingsError

MOST_STEPS = 500
"""The longest window that document 003 allows."""

Even = Annotated[int, Field(gt=0, multiple_of=2)]


class TransformerTrendSettings(Section):
    """Parameters of `TransformerTrend`; the defaults are document 003's.

    The document gives no size of the MLP (here four times the width, arXiv 1706.03762), no kind of
    positions (here sinusoids) and no way to read the steps (here their mean).

    Attributes:
        width: numbers of an embedded minute, even.
        layers: blocks of attention and MLP.
        attention_heads: of a block.
        dropout: of embedding, attention and MLP.
    """

    width: Even = 128
    layers: Positive = 4
    attention_heads: Positive = 8
    dropout: DropoutRate = 0.1


@register(
    "transformer_trend",
    TransformerTrendSettings,
    space={"width": [64, 128, 256], "layers": [2, 4, 6], "dropout": [0.1, 0.2, 0.3]},
    parameters=808_195,
    causal=False,
)
class TransformerTrend(nn.Module):
    """Embedding, positions, blocks, the mean over time, and heads."""

    def __init__(
        self,
        settings: TransformerTrendSettings,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        heads: Heads,
    ) -> None:
        """Build for this many minutes and features.

        Raises:
            SettingsError: if the window is longer than the document allows.
        """
        super().__init__()
        time, features = shapes["features"]
        if time > MOST_STEPS:
            raise SettingsError(
                f"transformer_trend: at most {MOST_STEPS} steps expected, got a window of {time}"
            )
        width = settings.width
        self.embedding = nn.Linear(features, width)
        self.register_buffer("positions", sinusoids(time, width), persistent=False)
        self.dropout = Dropout(settings.dropout)
        self.blocks = nn.Sequential(
            *(
                TransformerBlock(width, settings.attention_heads, settings.dropout)
                for _ in range(settings.layers)
            ),
            nn.LayerNorm(width),
        )
        self.heads = HeadLayers(width, heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the mean over all minutes."""
        steps = self.blocks(self.dropout(self.embedding(features) + self.positions))
        return self.heads(steps.mean(1))  # type: ignore[no-any-return]
