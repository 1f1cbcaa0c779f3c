"""A linear model of the features: what a deep network has to beat.

On Bybit's BTC simple models match deep ones (arXiv 2506.05764).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from quantgod.models.base import register
from quantgod.models.heads import HeadLayers, Heads, Output
from quantgod.settings import Section


class LinearSettings(Section):
    """There is nothing to choose: training decides the weight decay."""


@register("linear", LinearSettings, space={}, parameters=20_163, causal=False)
class Linear(nn.Module):
    """One weight for each feature of each minute and each answer."""

    def __init__(
        self, settings: LinearSettings, *, shapes: Mapping[str, tuple[int, ...]], heads: Heads
    ) -> None:
        """Build for this many minutes and features."""
        super().__init__()
        self.heads = HeadLayers(prod(shapes["features"]), heads)

    def forward(self, features: Float[Tensor, "batch time features"]) -> Output:
        """Return what the heads say of the window, all of it at once."""
        return self.heads(features.flatten(1))  # type: ignore[no-any-return]
