"""Train the class and the strength of the trend to the primary horizon together (document 003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from quantgod.contracts import PRIMARY
from quantgod.dataset.samples import Samples
from quantgod.models.heads import Heads, Output
from quantgod.training.objectives.base import Judgement
from quantgod.training.objectives.cross_entropy import WeightedCrossEntropy


@dataclass(frozen=True)
class Trend:
    """Class and strength of the trend to the primary horizon; the score is macro-F1.

    The strength is the efficiency |Σr| / Σ|r| of the returns to come, 0 to 1; its sign is the
    class's business. The loss is class-weighted cross-entropy plus the cross-entropy of the
    strength as a probability, whose minimum is at its mean.
    """

    class_weights: tuple[float, ...]

    @property
    def heads(self) -> Heads:
        """The classes of one horizon, and the strength."""
        return Heads(trend=True)

    def targets(self, samples: Samples) -> Float[Tensor, "samples 2"]:
        """Return class number and strength."""
        both = np.stack([samples.target.astype(np.float64), samples.efficiency[:, PRIMARY]], axis=1)
        return torch.from_numpy(both.astype(np.float32))

    def loss(
        self,
        output: Output,
        target: Float[Tensor, "batch 2"],
        whole: Float[Tensor, "whole 2"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the sum of both losses, or a part's share of it."""
        of_whole = None if whole is None else whole[:, 0].long()
        paid = self._classes.loss(output, target[:, 0].long(), of_whole)
        known = torch.isfinite(target if whole is None else whole)[:, 1].sum().clamp(min=1)
        return paid + _surprise(output["trend"][:, PRIMARY].float(), target[:, 1]) / known

    def judge(self, output: Output, target: Float[Tensor, "batch 2"]) -> Judgement:
        """Return the figures of the classes, and of the strength error and explained share."""
        score, figures = self._classes.judge(output, target[:, 0].long())
        known = torch.isfinite(target[:, 1])
        said, came = output["trend"][known, PRIMARY].float(), target[known, 1]
        error, spread = (float((came - of).square().mean()) for of in (said, came.mean()))
        explained = 1 - error / spread if spread > 0 else 0.0
        return Judgement(score, {**figures, "trend_error": error**0.5, "trend_r2": explained})

    @property
    def _classes(self) -> WeightedCrossEntropy:
        return WeightedCrossEntropy(self.class_weights)


def _surprise(said: Float[Tensor, " batch"], came: Float[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the sum over moments whose strength is known."""
    known = torch.isfinite(came)
    # Not `binary_cross_entropy`, which mixed precision refuses.
    said, came = said.clamp(1e-6, 1 - 1e-6)[known], came[known]
    return -(came * said.log() + (1 - came) * (1 - said).log()).sum()
