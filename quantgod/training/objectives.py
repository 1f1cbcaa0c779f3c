"""Define what a network is trained for: a loss and a score to stop by, one per kind of target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from quantgod.contracts import CLASSES
from quantgod.dataset.windows import Samples
from quantgod.models.heads import Heads, Output
from quantgod.training.confusion import confusion_matrix, precision_recall_f1


class Judgement(NamedTuple):
    """The score to maximise, and all figures by name (including the score)."""

    score: float
    figures: Mapping[str, float]


@runtime_checkable
class Objective(Protocol):
    """One kind of target: its values, its loss and its score. Its `repr` identifies it."""

    @property
    def heads(self) -> Heads:
        """What a network must answer to be trained for it."""

    def targets(self, samples: Samples) -> Tensor:
        """Return the target of each sample, first axis the samples."""

    def loss(self, output: Output, target: Tensor) -> Tensor:
        """Return the scalar to minimise, a mean over a batch or a whole part."""

    def judge(self, output: Output, target: Tensor) -> Judgement:
        """Return the score and figures of a whole part."""


@dataclass(frozen=True)
class Direction:
    """Whether the return to the primary horizon is above zero (document 003); NEUTRAL stays empty.

    Binary cross-entropy; the score is the mean of the F1 of SELL and BUY.
    """

    @property
    def heads(self) -> Heads:
        """P(up) of one horizon."""
        return Heads(binary=True)

    def targets(self, samples: Samples) -> Int64[Tensor, " samples"]:
        """Return the number of SELL or BUY; a return of zero is no rise."""
        names = np.where(samples.returns[:, 0] > 0, CLASSES.index("BUY"), CLASSES.index("SELL"))
        return torch.from_numpy(names)

    def loss(self, output: Output, target: Int64[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Return the mean negative log-likelihood."""
        return functional.cross_entropy(output["logits"][:, 0].float(), target)

    def judge(self, output: Output, target: Int64[Tensor, " batch"]) -> Judgement:
        """Return the mean F1 and the accuracy of the likelier direction."""
        said, truth = output["logits"][:, 0].argmax(1).cpu().numpy(), target.cpu().numpy()
        _, _, f1 = precision_recall_f1(confusion_matrix(truth, said))
        score = float((f1[CLASSES.index("SELL")] + f1[CLASSES.index("BUY")]) / 2)
        return Judgement(score, {"direction_f1": score, "accuracy": float((said == truth).mean())})


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Class-weighted cross-entropy (document 000, section 4.2); the score is macro-F1."""

    class_weights: tuple[float, ...]

    @property
    def heads(self) -> Heads:
        """The classes of one horizon."""
        return Heads()

    def targets(self, samples: Samples) -> Int64[Tensor, " samples"]:
        """Return the class numbers."""
        return torch.from_numpy(samples.target)

    def loss(self, output: Output, target: Int64[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Return the sum of weighted negative log-likelihoods over the sum of the weights."""
        logits = output["logits"][:, 0].float()
        weights = torch.tensor(self.class_weights, device=logits.device)
        return functional.cross_entropy(logits, target, weight=weights)

    def judge(self, output: Output, target: Int64[Tensor, " batch"]) -> Judgement:
        """Return macro-F1, and precision and recall of each class, for the likeliest class."""
        truth = target.cpu().numpy()
        matrix = confusion_matrix(truth, output["logits"][:, 0].argmax(1).cpu().numpy())
        precision, recall, f1 = precision_recall_f1(matrix)
        figures = {"macro_f1": float(f1.mean())}
        for number, name in enumerate(CLASSES):
            figures[f"precision_{name.lower()}"] = float(precision[number])
            figures[f"recall_{name.lower()}"] = float(recall[number])
        return Judgement(figures["macro_f1"], figures)
