"""CNN-LSTM v2 of document 001: convolutions, an LSTM and attention over an hour of features.

The document names the network, calls it existing, and gives no sizes: all of them are this
project's. It estimates 2 million parameters; these sizes give 0.4.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.attention import SelfAttention
from quantgod.models.base import DropoutRate, register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Positive, Range, Section

CHANNELS = (32, 64, 128)
KERNELS = (3, 5, 7)
POOL = 2
INITIAL_DEVIATION = 0.02
"""Of the positions, as in ViT's code (arXiv 2010.11929)."""


class CNNLSTMSettings(Section):
    """Parameters of `CNNLSTM`.

    Attributes:
        dropout: after each convolution.
        lstm_hidden: size of the LSTM's state.
        lstm_layers: LSTM layers.
        lstm_dropout: between LSTM layers; no effect with one layer.
        attention_heads: of the attention over the LSTM's steps.
    """

    dropout: DropoutRate = 0.3
    lstm_hidden: Positive = 128
    lstm_layers: Positive = 2
    lstm_dropout: DropoutRate = 0.3
    attention_heads: Positive = 4


@register(
    "cnn_lstm",
    CNNLSTMSettings,
    space={
        "dropout": Range(low=0.1, high=0.5),
        "lstm_hidden": [64, 128, 256],
        "lstm_layers": [1, 2],
    },
    parameters=424_739,
    causal=False,
)
class CNNLSTM(nn.Module):
    """Three residual blocks that halve time, an LSTM, attention, the mean and the last step."""

    def __init__(
        self, settings: CNNLSTMSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        """Build for this many minutes and features."""
        super().__init__()
        time, features = shapes["features"]
        hidden = settings.lstm_hidden
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(inputs, outputs, kernel, settings.dropout)
                for inputs, outputs, kernel in zip(
                    (features, *CHANNELS), CHANNELS, KERNELS, strict=False
                )
            )
        )
        self.lstm = nn.LSTM(
            CHANNELS[-1],
            hidden,
            settings.lstm_layers,
            batch_first=True,
            dropout=settings.lstm_dropout if settings.lstm_layers > 1 else 0.0,
        )
        steps = -(-time // POOL ** len(CHANNELS))
        self.positions = nn.Parameter(INITIAL_DEVIATION * torch.randn(steps, hidden))
        self.attention = SelfAttention(hidden, settings.attention_heads)
        self.norm = nn.LayerNorm(hidden)
        self.heads = HeadLayers(hidden, heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the mean step plus the last step."""
        steps, _ = self.lstm(self.blocks(features.transpose(1, 2)).transpose(1, 2))
        seen = self.norm(steps + self.attention(steps + self.positions))
        return self.heads(seen.mean(1) + seen[:, -1])  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Convolution, BatchNorm, GELU and dropout beside a 1 x 1 convolution; then pooling by two.

    Pooling keeps a last odd step: without it, fifteen steps would lose the newest four minutes.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Sequential(
            nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(outputs),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.skip = nn.Conv1d(inputs, outputs, 1)
        self.pool = nn.MaxPool1d(POOL, ceil_mode=True)

    def forward(
        self, steps: Float[Tensor, "batch inputs time"]
    ) -> Float[Tensor, "batch outputs pooled"]:
        """Halve the time axis, rounding up."""
        return self.pool(self.convolution(steps) + self.skip(steps))  # type: ignore[no-any-return]
