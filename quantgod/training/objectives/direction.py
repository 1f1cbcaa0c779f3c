"""Train a network to say whether the price rises (document 003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from quantgod.contracts import CLASSES, PRIMARY
from quantgod.dataset.samples import Samples
from quantgod.models.heads import Heads, Output
from quantgod.training.confusion import confusion_matrix, precision_recall_f1
from quantgod.training.objectives.base import Judgement


@dataclass(frozen=True)
class Direction:
    """Whether the return to the primary horizon is above zero (document 003); NEUTRAL stays empty.

    Binary cross-entropy; the score is the mean of the F1 of SELL and BUY.
    """

    class_weights: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def heads(self) -> Heads:
        """P(up) of one horizon."""
        return Heads(binary=True)

    def targets(self, samples: Samples) -> Int64[Tensor, " samples"]:
        """Return the number of SELL or BUY; a return of zero is no rise."""
        names = np.where(
            samples.returns[:, PRIMARY] > 0, CLASSES.index("BUY"), CLASSES.index("SELL")
        )
        return torch.from_numpy(names)

    def loss(
        self,
        output: Output,
        target: Int64[Tensor, " batch"],
        whole: Int64[Tensor, " whole"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the mean negative log-likelihood, or a part's share of it."""
        share = 1.0 if whole is None else len(target) / len(whole)
        return functional.cross_entropy(output["logits"][:, PRIMARY].float(), target) * share

    def judge(self, output: Output, target: Int64[Tensor, " batch"]) -> Judgement:
        """Return the mean F1 and the accuracy of the likelier direction."""
        said, truth = output["logits"][:, PRIMARY].argmax(1).cpu().numpy(), target.cpu().numpy()
        _, _, f1 = precision_recall_f1(confusion_matrix(truth, said))
        score = float((f1[CLASSES.index("SELL")] + f1[CLASSES.index("BUY")]) / 2)
        return Judgement(score, {"direction_f1": score, "accuracy": float((said == truth).mean())})
