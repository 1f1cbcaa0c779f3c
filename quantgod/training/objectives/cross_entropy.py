"""Train a network to say the class at the primary horizon (document 000)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from quantgod.contracts import CLASSES, PRIMARY
from quantgod.dataset.samples import Samples
from quantgod.models.heads import ONE_DIRECTION, Heads, Output
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from quantgod.training.objectives.base import Judgement


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Class-weighted cross-entropy (document 000, section 4.2); the score is macro-F1."""

    class_weights: tuple[float, ...]

    @property
    def heads(self) -> Heads:
        """The classes of one horizon."""
        return ONE_DIRECTION

    def targets(self, samples: Samples) -> Int64[Tensor, " samples"]:
        """Return the class numbers."""
        return torch.from_numpy(samples.target)

    def loss(
        self,
        output: Output,
        target: Int64[Tensor, " batch"],
        whole: Int64[Tensor, " whole"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the sum of weighted negative log-likelihoods over the sum of the weights."""
        logits = output["logits"][:, PRIMARY].float()
        weights = torch.tensor(self.class_weights, device=logits.device)
        loss = functional.cross_entropy(logits, target, weight=weights)
        return loss if whole is None else loss * weight_share(weights, target, whole)

    def judge(self, output: Output, target: Int64[Tensor, " batch"]) -> Judgement:
        """Return macro-F1, and precision and recall of each class, for the likeliest class."""
        truth = target.cpu().numpy()
        matrix = confusion_matrix(truth, output["logits"][:, PRIMARY].argmax(1).cpu().numpy())
        precision, recall, f1 = precision_recall_f1(matrix)
        figures = {"macro_f1": float(f1.mean())}
        for number, name in enumerate(CLASSES):
            figures[f"precision_{name.lower()}"] = float(precision[number])
            figures[f"recall_{name.lower()}"] = float(recall[number])
        return Judgement(figures["macro_f1"], figures)


def weight_share(
    weights: Float[Tensor, " classes"],
    target: Int64[Tensor, " batch"],
    whole: Int64[Tensor, " whole"],
) -> Float[Tensor, ""]:
    """Return the share of a batch's class weights that a part of it has; exactly 1 of the whole."""
    return weights[target].sum() / weights[whole].sum()
