"""Define what a network is trained for: a loss and a score to stop by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from quantgod.dataset.samples import Samples
from quantgod.models.heads import Heads, Output


class Judgement(NamedTuple):
    """The score to maximise, and all figures by name (including the score)."""

    score: float
    figures: Mapping[str, float]


@runtime_checkable
class Objective(Protocol):
    """One kind of target: its values, its loss and its score. Its `repr` identifies it."""

    @property
    def class_weights(self) -> tuple[float, ...]:
        """Weights of the loss, in class order: they tilt the probabilities that a network gives."""

    @property
    def heads(self) -> Heads:
        """What a network must answer to be trained for it."""

    def targets(self, samples: Samples) -> Tensor:
        """Return the target of each sample, first axis the samples."""

    def loss(self, output: Output, target: Tensor, whole: Tensor | None = None) -> Tensor:
        """Return the scalar to minimise, a mean over a batch.

        Args:
            output: of a batch, or of a part of it.
            target: of the same.
            whole: targets of the whole batch, where the output is of a part: the losses of all
                parts add up to that of the whole.
        """

    def judge(self, output: Output, target: Tensor) -> Judgement:
        """Return the score and figures of a whole part."""
