"""The last layers of every network: what is asked of it at each horizon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quantgod.contracts import CLASSES
from quantgod.models.dropout import Dropout

Output = dict[str, Tensor]
"""What a network returns: `logits` and `probs`, each (batch, horizons, classes), where it is asked
for a direction, and what else its heads ask for, each (batch, horizons)."""

NEVER: Final = -1e4
"""The logit of a class that cannot come: its probability is exactly zero in every precision."""


@dataclass(frozen=True)
class Heads:
    """What an objective needs of a network.

    Attributes:
        horizons: how many; the primary one comes first.
        binary: direction is SELL or BUY; NEUTRAL stays empty.
        confidence: P(the likeliest class is right), by a head that does not move the trunk.
        expected_return: in units of the objective's own.
        trend: strength of the trend to come, 0 to 1.
        direction: the probabilities of the classes, which confidence and binary are about.
    """

    horizons: int = 1
    binary: bool = False
    confidence: bool = False
    expected_return: bool = False
    trend: bool = False
    direction: bool = True

    def __post_init__(self) -> None:
        """Check that something is asked, and nothing about classes where there are none.

        Raises:
            ValueError: naming what was asked.
        """
        of_numbers, of_classes = self.expected_return or self.trend, self.binary or self.confidence
        if not self.direction and (of_classes or not of_numbers):
            raise ValueError(
                "without a direction, and so without classes, expected_return or trend expected, "
                f"and neither binary nor confidence; got {self}"
            )


ONE_DIRECTION: Final = Heads()
"""The classes of one horizon, and nothing else."""


class HeadLayers(nn.Module):
    """One linear layer a head, from what the trunk has made of a moment."""

    def __init__(self, width: int, heads: Heads) -> None:
        super().__init__()
        self.heads = heads
        numbers = 1 if heads.binary else len(CLASSES)
        if heads.direction:
            self.direction = nn.Linear(width, heads.horizons * numbers)
        asked = ("confidence", "expected_return", "trend")
        self.others = nn.ModuleDict(
            {name: nn.Linear(width, heads.horizons) for name in asked if getattr(heads, name)}
        )

    def forward(self, seen: Float[Tensor, "batch width"]) -> Output:
        """Return `logits` and `probs` (batch, horizons, 3) in class order, and the other heads."""
        output: Output = {}
        if self.heads.direction:
            logits = self._logits(self.direction(seen).unflatten(1, (self.heads.horizons, -1)))
            output = {"logits": logits, "probs": torch.softmax(logits, dim=-1)}
        for name, layer in self.others.items():
            value = layer(seen.detach() if name == "confidence" else seen)
            output[name] = value if name == "expected_return" else torch.sigmoid(value)
        return output

    def _logits(self, given: Float[Tensor, "batch horizons numbers"]) -> Tensor:
        if not self.heads.binary:
            return given
        never = 0 * given + NEVER  # an export would keep a constant in the shape of its example
        return torch.cat([-given / 2, never, given / 2], dim=-1)


class HorizonHeads(nn.Module):
    """A dense layer of each horizon's own, with GELU and dropout, and its heads upon that."""

    def __init__(self, width: int, hidden: int, dropout: float, heads: Heads) -> None:
        super().__init__()
        alone = replace(heads, horizons=1)
        self.each = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, hidden), nn.GELU(), Dropout(dropout), HeadLayers(hidden, alone)
            )
            for _ in range(heads.horizons)
        )

    def forward(self, seen: Float[Tensor, "batch width"]) -> Output:
        """Return what `HeadLayers` does."""
        said = [horizon(seen) for horizon in self.each]
        return {name: torch.cat([one[name] for one in said], dim=1) for name in said[0]}
