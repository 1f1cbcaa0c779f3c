"""Train direction, confidence and expected return together, at every horizon (document 001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from quantgod.dataset.samples import Samples
from quantgod.models.heads import Heads, Output
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from quantgod.training.objectives.base import Judgement
from quantgod.training.objectives.cross_entropy import weight_share
from quantgod.training.objectives.scaled_returns import huber, known_share, scaled_returns

CONFIDENCE: Final = 0.5
EXPECTED_RETURN: Final = 0.3
"""What the other heads' losses weigh beside that of the direction, which weighs 1."""


@dataclass(frozen=True)
class MultiTask:
    """Sum over heads and horizons of weighted losses; the score is macro-F1 at the primary horizon.

    A horizon of h minutes weighs 1/√h. Direction has class-weighted cross-entropy. Confidence is
    the probability that the likeliest class is right (binary cross-entropy; the trunk is detached);
    of training rows it learns too much of that, so `auditor/confidence.py` judges it out of fold.
    The expected return is that of the horizon over v√h, v the past volatility of a minute (Huber,
    with a threshold of 1); a moment without v has none.

    Attributes:
        class_weights: in class order.
        horizons: minutes, the primary one first.
    """

    class_weights: tuple[float, ...]
    horizons: tuple[int, ...]

    @property
    def heads(self) -> Heads:
        """All three, at every horizon."""
        return Heads(horizons=len(self.horizons), confidence=True, expected_return=True)

    def targets(self, samples: Samples) -> Float[Tensor, "samples horizons 2"]:
        """Return class number and scaled return, which is NaN where the volatility is unknown."""
        classes = torch.from_numpy(samples.classes.astype(np.float32))
        return torch.stack([classes, scaled_returns(samples, self.horizons)], dim=-1)

    def loss(
        self,
        output: Output,
        target: Float[Tensor, "batch horizons 2"],
        whole: Float[Tensor, "whole horizons 2"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the sum over horizons of what each head pays there."""
        parts = self._parts(output, target)
        if whole is not None:
            shares = self._shares(target, whole)
            parts = _Parts(*(paid * share for paid, share in zip(parts, shares, strict=True)))
        each = parts.direction + CONFIDENCE * parts.confidence + EXPECTED_RETURN * parts.returns
        return (each * self._weights(each.device)).sum()

    def judge(self, output: Output, target: Float[Tensor, "batch horizons 2"]) -> Judgement:
        """Return macro-F1 at each horizon, and what each head pays over all of them."""
        said, truth = output["logits"].argmax(-1).cpu().numpy(), target[..., 0].long().cpu().numpy()
        scores = [
            float(precision_recall_f1(confusion_matrix(truth[:, k], said[:, k]))[2].mean())
            for k in range(len(self.horizons))
        ]
        parts = self._parts(output, target)
        figures = {"macro_f1": scores[0]}
        figures |= {f"macro_f1_{h}": s for h, s in zip(self.horizons, scores, strict=True)}
        weights = self._weights(target.device)
        figures |= {f"loss_{name}": float((p * weights).sum()) for name, p in parts.named()}
        return Judgement(scores[0], figures)

    def _parts(self, output: Output, target: Tensor) -> _Parts:
        logits, truth = output["logits"].float(), target[..., 0].long()
        weights = torch.tensor(self.class_weights, device=logits.device)
        return _Parts(
            torch.stack(
                [
                    functional.cross_entropy(logits[:, k], truth[:, k], weight=weights)
                    for k in range(len(self.horizons))
                ]
            ),
            _surprise(output["confidence"].float(), logits.argmax(-1) == truth),
            huber(output["expected_return"].float(), target[..., 1]),
        )

    def _shares(self, target: Tensor, whole: Tensor) -> _Parts:
        """Return how much of a batch's mean a part of it makes, by head and horizon."""
        weights = torch.tensor(self.class_weights, device=target.device)
        classes = [
            weight_share(weights, t, w) for t, w in zip(*_classes(target, whole), strict=True)
        ]
        returns = known_share(target[..., 1], whole[..., 1])
        count = torch.full_like(returns, len(target)) / len(whole)
        return _Parts(torch.stack(classes), count, returns)

    def _weights(self, device: torch.device) -> Float[Tensor, " horizons"]:
        return torch.tensor(self.horizons, dtype=torch.float32, device=device).rsqrt()


class _Parts(NamedTuple):
    """What each head pays at each horizon, (horizons,) each."""

    direction: Tensor
    confidence: Tensor
    returns: Tensor

    def named(self) -> tuple[tuple[str, Tensor], ...]:
        return tuple(zip(self._fields, self, strict=True))


def _classes(*targets: Tensor) -> tuple[Tensor, ...]:
    """Return the class numbers of targets, (horizons, batch) each."""
    return tuple(target[..., 0].long().T for target in targets)


def _surprise(
    confidence: Float[Tensor, "batch horizons"], is_right: Tensor
) -> Float[Tensor, " horizons"]:
    # Not `binary_cross_entropy`, which mixed precision refuses.
    said = confidence.clamp(1e-6, 1 - 1e-6)
    return -torch.where(is_right, said.log(), (1 - said).log()).mean(0)
