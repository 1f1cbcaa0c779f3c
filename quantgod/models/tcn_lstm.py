"""Hybrid TCN + LSTM: dilated causal convolutions for local patterns, an LSTM for long memory.

Document 000, section 3. The convolutions see the last 31 steps; the LSTM runs over their outputs,
and its last hidden state feeds the head.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quantgod.models.base import DropoutRate, register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Natural, Positive, Range, Section

KERNEL = 3
DILATIONS = (1, 2, 4, 8)
HEAD_HIDDEN = 128


class TCNLSTMSettings(Section):
    """Parameters of `HybridTCNLSTM`.

    Attributes:
        tcn_channels: channels of every convolution.
        lstm_hidden: size of the LSTM's state.
        lstm_layers: LSTM layers.
        lstm_dropout: between LSTM layers; no effect with one layer.
        dropout: of the head, before the last linear layer.
        spatial_dropout: of whole channels after each convolution of the TCN. The document gives no
            rate for it; 0.2 is its rate for the LSTM.
        memory_rows: how many rows the LSTM's states remember before training, each for its own part
            of them. With 0 they begin as PyTorch's do and forget half with each row, so that
            nothing can be learned of hours ago.
    """

    tcn_channels: Positive = 64
    lstm_hidden: Positive = 256
    lstm_layers: Positive = 2
    lstm_dropout: DropoutRate = 0.2
    dropout: DropoutRate = 0.4
    spatial_dropout: DropoutRate = 0.2
    memory_rows: Natural = 0


@register(
    "tcn_lstm",
    TCNLSTMSettings,
    space={
        "tcn_channels": [32, 64, 128],
        "lstm_hidden": [128, 256, 512],
        "lstm_layers": [1, 2],
        "dropout": Range(low=0.2, high=0.5),
    },
    parameters=929_347,
)
class HybridTCNLSTM(nn.Module):
    """Four causal blocks, an LSTM and a head: bars (batch, time, features) to probabilities."""

    def __init__(
        self, settings: TCNLSTMSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        """Build for the bars' features; the weights do not depend on how many rows there are."""
        super().__init__()
        _, features = shapes["bars"]
        channels, hidden = settings.tcn_channels, settings.lstm_hidden
        self.tcn = nn.Sequential(
            *(
                TCNBlock(channels if step else features, channels, dilation, settings)
                for step, dilation in enumerate(DILATIONS)
            )
        )
        self.lstm = nn.LSTM(
            channels,
            hidden,
            settings.lstm_layers,
            batch_first=True,
            dropout=settings.lstm_dropout if settings.lstm_layers > 1 else 0.0,
        )
        self.head = nn.Sequential(
            nn.Linear(hidden, HEAD_HIDDEN),
            nn.GELU(),
            nn.Dropout(settings.dropout),
        )
        self.heads = HeadLayers(HEAD_HIDDEN, heads)
        if settings.memory_rows:
            _remember(self.lstm, settings.memory_rows)

    def forward(self, bars: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the last hidden state."""
        steps = self.tcn(bars.transpose(1, 2)).transpose(1, 2)
        _, (hidden, _) = self.lstm(steps)
        return self.heads(self.head(hidden[-1]))  # type: ignore[no-any-return]


@torch.no_grad()
def _remember(lstm: nn.LSTM, rows: int) -> None:
    """Draw biases with which states remember 1 to `rows` rows (arXiv 1804.11188, section 2)."""
    size = lstm.hidden_size
    for layer in range(lstm.num_layers):
        kept = torch.empty(size).uniform_(1, max(rows - 1, 1)).log()
        inner, outer = (getattr(lstm, f"bias_{of}_l{layer}") for of in ("ih", "hh"))
        inner[:size], inner[size : 2 * size] = -kept, kept
        outer[: 2 * size] = 0


class TCNBlock(nn.Module):
    """Causal convolution, BatchNorm, GELU and spatial dropout, beside a residual connection."""

    def __init__(self, inputs: int, outputs: int, dilation: int, settings: TCNLSTMSettings) -> None:
        super().__init__()
        self.convolution = CausalConv1d(inputs, outputs, dilation)
        self.norm = nn.BatchNorm1d(outputs)
        self.activation = nn.GELU()
        self.dropout = nn.Dropout1d(settings.spatial_dropout)
        self.residual = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)

    def forward(
        self, steps: Float[Tensor, "batch inputs time"]
    ) -> Float[Tensor, "batch outputs time"]:
        """Keep the time axis as long as it was."""
        seen = self.dropout(self.activation(self.norm(self.convolution(steps))))
        return seen + self.residual(steps)  # type: ignore[no-any-return]


class CausalConv1d(nn.Module):
    """Convolution padded on the left only: step t sees t, t - dilation, t - 2 dilations."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        self.padding = dilation * (KERNEL - 1)
        self.convolution = nn.Conv1d(inputs, outputs, KERNEL, dilation=dilation)

    def forward(
        self, steps: Float[Tensor, "batch inputs time"]
    ) -> Float[Tensor, "batch outputs time"]:
        """Keep the time axis as long as it was."""
        padded = functional.pad(steps, (self.padding, 0))
        return self.convolution(padded)  # type: ignore[no-any-return]
