"""What a network is trained for: a loss, and a score to stop by. One a kind of target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from quantgod.contracts import CLASSES, Floats, Integers
from quantgod.dataset.windows import Samples
from quantgod.models.base import Output


class Judgement(NamedTuple):
    """How good outputs are: the score to maximise, and all figures by name (the score included)."""

    score: float
    figures: Mapping[str, float]


@runtime_checkable
class Objective(Protocol):
    """One kind of target, from the samples' column to the score. Its `repr` identifies it."""

    def targets(self, samples: Samples) -> Tensor:
        """What is to be learned of each sample, first axis the samples."""

    def loss(self, output: Output, target: Tensor) -> Tensor:
        """A scalar to minimise; the mean over a batch or over a whole part."""

    def judge(self, output: Output, target: Tensor) -> Judgement:
        """The score and figures of a whole part."""


@dataclass(frozen=True)
class WeightedCrossEntropy:
    """Classes by cross-entropy, weighted by class (document 000, section 4.2); score macro-F1."""

    class_weights: tuple[float, ...]

    def targets(self, samples: Samples) -> Int64[Tensor, " samples"]:
        """The class numbers."""
        return torch.from_numpy(samples.target)

    def loss(self, output: Output, target: Int64[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Sum of weighted negative log-likelihoods over the sum of the weights."""
        logits = output["logits"].float()
        weights = torch.tensor(self.class_weights, device=logits.device)
        return functional.cross_entropy(logits, target, weight=weights)

    def judge(self, output: Output, target: Int64[Tensor, " batch"]) -> Judgement:
        """Macro-F1, and precision and recall of each class, of the likeliest class."""
        truth = target.cpu().numpy()
        table = confusion(truth, output["logits"].argmax(1).cpu().numpy())
        precision, recall, f1 = precision_recall_f1(table)
        figures = {"macro_f1": float(f1.mean())}
        for number, name in enumerate(CLASSES):
            figures[f"precision_{name.lower()}"] = float(precision[number])
            figures[f"recall_{name.lower()}"] = float(recall[number])
        return Judgement(figures["macro_f1"], figures)


def confusion(truth: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer]) -> Integers:
    """Counts (classes, classes): row the true class, column the predicted one."""
    size = len(CLASSES)
    counts = np.bincount(truth * size + predicted, minlength=size * size)
    return counts.astype(np.int64).reshape(size, size)


def precision_recall_f1(table: Integers) -> Floats:
    """Precision, recall and F1 as three rows, one column a class; what is 0/0 counts as 0.

    All classes count in a mean over them, also one that the part does not hold.
    """
    hits = table.diagonal().astype(np.float64)
    precision = hits / np.maximum(table.sum(0), 1)
    recall = hits / np.maximum(table.sum(1), 1)
    f1 = 2 * hits / np.maximum(table.sum(0) + table.sum(1), 1)
    return np.stack([precision, recall, f1])
