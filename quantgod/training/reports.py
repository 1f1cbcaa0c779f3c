"""Records that a training reports: of each step, of each epoch, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One optimizer step. On CUDA steps are reported in groups, in order, to avoid waiting."""

    epoch: int
    batch: int
    loss: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class Epoch:
    """One epoch, counted from 0.

    Attributes:
        epoch: its number.
        train_loss: mean over the windows during training (with dropout).
        validation_loss: on the whole validation part, in eval mode.
        score: on the validation part; early stopping and tuning maximise it.
        figures: all that the objective measures there, by name, including the score.
        learning_rate: of its last step.
        gradient_norm: mean over the steps, before clipping.
        windows_per_second: training windows per second of training, without validation.
        seconds: of training and validation.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    score: float
    figures: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    windows_per_second: float
    seconds: float

    def metrics(self) -> dict[str, float]:
        """Return all figures but the epoch's number, by the name of their chart."""
        flat = asdict(self)
        del flat["epoch"], flat["score"], flat["figures"]
        return {**flat, **self.figures}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able mapping; `Epoch(**mapping)` restores the same bits."""
        return asdict(self)


@dataclass(frozen=True)
class Fit:
    """The result of a training; the network holds the weights of `best_epoch`.

    Attributes:
        best_epoch: counted from 0.
        best_score: the highest score on the validation part.
        history: every epoch, in order, including those before a resume.
        stopped_early: True if patience ran out before the planned epochs.
        resumed_at: epoch and batch of the checkpoint that this call resumed from, or None.
    """

    best_epoch: int
    best_score: float
    history: tuple[Epoch, ...]
    stopped_early: bool
    resumed_at: tuple[int, int] | None

    @property
    def told_before(self) -> tuple[Epoch, ...]:
        """Return the epochs of the killed call, which this call did not report to `on_epoch`."""
        return self.history[: self.resumed_at[0]] if self.resumed_at else ()


OnStep = Callable[[Step], None]
OnEpoch = Callable[[Epoch], None]


def unheard(report: Step | Epoch) -> None:
    """Ignore the report: the default listener."""
