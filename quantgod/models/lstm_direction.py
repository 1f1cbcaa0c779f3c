"""LSTMDirectionModel of document 003: an LSTM over an hour of features says up or down.

P(up) is the probability of BUY under a binary objective; other objectives get their own heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.base import DropoutRate, register
from quantgod.models.dropout import Dropout
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Section


class LSTMDirectionSettings(Section):
    """Parameters of `LSTMDirection`; the defaults are document 003's.

    Attributes:
        hidden: size of the state.
        layers: of the LSTM.
        dropout: between the layers and before the heads.
        bidirectional: whether a second LSTM reads the window backwards. The network is then not
            causal inside its window.
    """

    hidden: Positive = 64
    layers: Positive = 2
    dropout: DropoutRate = 0.2
    bidirectional: bool = False


@register(
    "lstm_direction",
    LSTMDirectionSettings,
    space={"hidden": [32, 64, 128], "layers": [1, 2, 3], "dropout": [0.1, 0.2, 0.4]},
    parameters=79_043,
)
class LSTMDirection(nn.Module):
    """An LSTM whose final state, or both directions' final states, feed the heads."""

    def __init__(
        self,
        settings: LSTMDirectionSettings,
        *,
        shapes: Mapping[str, tuple[int, ...]],
        heads: Heads,
    ) -> None:
        """Build for the number of features; the weights fit any number of minutes."""
        super().__init__()
        self.directions = 2 if settings.bidirectional else 1
        self.lstm = nn.LSTM(
            shapes["features"][1],
            settings.hidden,
            settings.layers,
            batch_first=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
            bidirectional=settings.bidirectional,
        )
        self.dropout = Dropout(settings.dropout)
        self.heads = HeadLayers(self.directions * settings.hidden, heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the final state."""
        _, (hidden, _) = self.lstm(features)
        final = torch.cat([hidden[-direction] for direction in range(self.directions, 0, -1)], 1)
        return self.heads(self.dropout(final))  # type: ignore[no-any-return]
