"""Attention over the steps of a sequence, blocks of a transformer around it, and fixed positions.

A `TransformerBlock` normalises first and drops out after every dense layer but those of queries,
keys and values, as ViT does (arXiv 2010.11929, section 3.1 and appendix B.1).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quantgod.models.dropout import Dropout
from quantgod.settings import SettingsError

MLP_RATIO = 4


class SelfAttention(nn.Module):
    """Let each step of a sequence take from every step, or from itself and earlier ones alone."""

    def __init__(
        self, width: int, heads: int, head_width: int | None = None, *, causal: bool = False
    ) -> None:
        """Split `width` among the heads, or give each `head_width`; with `causal` look back alone.

        Raises:
            SettingsError: if the heads cannot share the width equally.
        """
        super().__init__()
        if head_width is None and width % heads:
            raise SettingsError(
                f"a width of {width} cannot be shared by {heads} heads: take a multiple of {heads}"
            )
        inner = heads * (head_width or width // heads)
        self.number, self.causal = heads, causal
        self.projections = nn.Linear(width, 3 * inner)
        self.output = nn.Linear(inner, width)

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Return the values of the steps, weighted by how well key and query fit."""
        queries, keys, values = (
            part.unflatten(2, (self.number, -1)).transpose(1, 2)
            for part in self.projections(steps).chunk(3, dim=2)
        )
        taken = functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=self.causal
        )
        return self.output(taken.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Attention over the steps, then an MLP on each, both beside a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(width), SelfAttention(width, heads), Dropout(dropout)
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(MLP_RATIO * width, width),
            Dropout(dropout),
        )

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Keep the shape."""
        steps = steps + self.attention(steps)
        return steps + self.mlp(steps)  # type: ignore[no-any-return]


class PostNormBlock(nn.Module):
    """Causal attention, then a feed-forward network; each is added to what came, and normalised.

    The block of arXiv 1706.03762, sections 3.1 and 5.4, with GELU.
    """

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(SelfAttention(width, heads, causal=True), Dropout(dropout))
        self.attention_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, feed_forward),
            nn.GELU(),
            nn.Linear(feed_forward, width),
            Dropout(dropout),
        )
        self.mlp_norm = nn.LayerNorm(width)

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Keep the shape."""
        steps = self.attention_norm(steps + self.attention(steps))
        return self.mlp_norm(steps + self.mlp(steps))  # type: ignore[no-any-return]


class AdditiveAttention(nn.Module):
    """Weigh the steps of a sequence by a small network of each (Bahdanau, arXiv 1409.0473)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False)
        )

    def weights(self, steps: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time"]:
        """Return how much each step counts, which adds up to one."""
        return self.score(steps).squeeze(2).softmax(1)  # type: ignore[no-any-return]

    def forward(self, steps: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch width"]:
        """Return the weighted mean of the steps."""
        return (self.weights(steps)[:, :, None] * steps).sum(1)


def sinusoids(steps: int, width: int) -> Float[Tensor, "steps width"]:
    """Return the fixed positions of arXiv 1706.03762, section 3.5; `width` is even."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(steps)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
