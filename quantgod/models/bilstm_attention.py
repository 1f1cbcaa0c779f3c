"""EnhancedLSTM of document 002: three LSTMs, the first one both ways, and attention over steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from quantgod.models.attention import AdditiveAttention
from quantgod.models.base import DropoutRate, register
from quantgod.models.dropout import Dropout, DroppedLSTM
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Section

Fourfold = Annotated[int, Field(gt=0, multiple_of=4)]


class BiLSTMAttentionSettings(Section):
    """Parameters of `BiLSTMAttention`; the defaults are document 002's.

    The document's widths halve from layer to layer (LSTMs of 128, 64 and 32, dense layers of 64 and
    32), so one number gives them all. It names no activation of the dense layers (here ReLU) and no
    width of the attention (here that of the last LSTM).

    Attributes:
        hidden: size of the first LSTM's state in each direction, a multiple of 4.
        dropout: after the first and second LSTM and both dense layers.
        recurrent_dropout: of each LSTM's last state.
    """

    hidden: Fourfold = 128
    dropout: DropoutRate = 0.4
    recurrent_dropout: DropoutRate = 0.2


class ResidualLSTM(nn.Module):
    """An LSTM beside a linear projection of the same steps; their sum is normalised."""

    def __init__(self, inputs: int, hidden: int, recurrent_dropout: float) -> None:
        super().__init__()
        self.lstm = DroppedLSTM(inputs, hidden, recurrent_dropout)
        self.skip = nn.Linear(inputs, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(
        self, steps: Float[Tensor, "batch time inputs"]
    ) -> Float[Tensor, "batch time hidden"]:
        """Return the normalised sum at each step."""
        return self.norm(self.lstm(steps) + self.skip(steps))  # type: ignore[no-any-return]


@register(
    "bilstm_attention",
    BiLSTMAttentionSettings,
    space={
        "hidden": [32, 64, 128],
        "dropout": [0.2, 0.3, 0.4, 0.5],
        "recurrent_dropout": [0.0, 0.1, 0.2, 0.3],
    },
    parameters=367_299,
    causal=False,
)
class BiLSTMAttention(nn.Module):
    """Layer norm, LSTM both ways, two residual LSTMs, attention, dense layers, heads."""

    def __init__(
        self,
        settings: BiLSTMAttentionSettings,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        heads: Heads,
    ) -> None:
        """Build for the number of features; the weights fit any number of steps."""
        super().__init__()
        features, wide = shapes["features"][1], settings.hidden
        middle, narrow = wide // 2, wide // 4
        dropout, recurrent = settings.dropout, settings.recurrent_dropout
        self.lstms = nn.Sequential(
            nn.LayerNorm(features),
            DroppedLSTM(features, wide, recurrent, bidirectional=True),
            Dropout(dropout),
            ResidualLSTM(2 * wide, middle, recurrent),
            Dropout(dropout),
            ResidualLSTM(middle, narrow, recurrent),
        )
        self.attention = AdditiveAttention(narrow, narrow)
        self.dense = nn.Sequential(
            *(nn.Linear(narrow, middle), nn.ReLU(), nn.LayerNorm(middle), Dropout(dropout)),
            *(nn.Linear(middle, narrow), nn.ReLU(), nn.LayerNorm(narrow), Dropout(dropout)),
        )
        self.heads = HeadLayers(narrow, heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the attended steps."""
        return self.heads(self.dense(self.attention(self.lstms(features))))  # type: ignore[no-any-return]

    def attention_weights(
        self, features: Float[Tensor, "batch time features"]
    ) -> Float[Tensor, "batch time"]:
        """Return how much each step counts, which adds up to one: document 002's heat map."""
        return self.attention.weights(self.lstms(features))
