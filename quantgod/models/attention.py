"""Self-attention, the block of a transformer around it, and fixed positions.

Blocks normalise first and drop out after every dense layer but those of queries, keys and values,
as ViT does (arXiv 2010.11929, section 3.1 and appendix B.1).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quantgod.settings import SettingsError

MLP_RATIO = 4


class SelfAttention(nn.Module):
    """Let each step of a sequence take from every step, earlier and later ones alike."""

    def __init__(self, width: int, heads: int, head_width: int | None = None) -> None:
        """Split `width` among the heads, or give each `head_width`.

        Raises:
            SettingsError: if the heads cannot share the width equally.
        """
        super().__init__()
        if head_width is None and width % heads:
            raise SettingsError(
                f"a width of {width} cannot be shared by {heads} heads: take a multiple of {heads}"
            )
        inner = heads * (head_width or width // heads)
        self.number = heads
        self.projections = nn.Linear(width, 3 * inner)
        self.output = nn.Linear(inner, width)

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Return the values of all steps, weighted by how well key and query fit."""
        queries, keys, values = (
            part.unflatten(2, (self.number, -1)).transpose(1, 2)
            for part in self.projections(steps).chunk(3, dim=2)
        )
        taken = functional.scaled_dot_product_attention(queries, keys, values)
        return self.output(taken.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Attention over the steps, then an MLP on each, both beside a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(width), SelfAttention(width, heads), nn.Dropout(dropout)
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, MLP_RATIO * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(MLP_RATIO * width, width),
            nn.Dropout(dropout),
        )

    def forward(
        self, steps: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """Keep the shape."""
        steps = steps + self.attention(steps)
        return steps + self.mlp(steps)  # type: ignore[no-any-return]


def sinusoids(steps: int, width: int) -> Float[Tensor, "steps width"]:
    """Return the fixed positions of arXiv 1706.03762, section 3.5; `width` is even."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(steps)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)
