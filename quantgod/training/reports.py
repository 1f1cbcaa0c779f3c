"""What a training run tells: of each step, of each epoch, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One optimizer step. On CUDA steps are told in bursts, in order, so that none waits."""

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
        train_loss: mean over the windows, as they were learned from (with dropout).
        validation_loss: of the whole validation part, in eval mode.
        score: what stopping and tuning maximise, on the validation part.
        figures: what else the objective measures there, by name; the score is among them.
        learning_rate: throughout the epoch.
        gradient_norm: mean over the steps, before clipping.
        windows_per_second: training windows per second of training, validation not counted.
        seconds: training and validation.
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
        """All of it but the epoch's number, flat, by the name a chart should carry."""
        flat = asdict(self)
        del flat["epoch"], flat["score"], flat["figures"]
        return {**flat, **self.figures}

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping; `Epoch(**mapping)` gives the same bits back."""
        return asdict(self)


@dataclass(frozen=True)
class Fit:
    """How a training run ended; the network holds the weights of `best_epoch`.

    Attributes:
        best_epoch: counted from 0.
        best_score: the highest score on the validation part.
        history: every epoch, in order, also those before a resume.
        stopped_early: patience ran out before the planned epochs did.
        resumed_at: epoch and batch of the checkpoint that this call went on from, or None.
    """

    best_epoch: int
    best_score: float
    history: tuple[Epoch, ...]
    stopped_early: bool
    resumed_at: tuple[int, int] | None

    @property
    def told_before(self) -> tuple[Epoch, ...]:
        """The epochs of a killed call, which `on_epoch` did not hear of in this one."""
        return self.history[: self.resumed_at[0]] if self.resumed_at else ()


OnStep = Callable[[Step], None]
OnEpoch = Callable[[Epoch], None]


def unheard(report: Step | Epoch) -> None:
    """Listen to nothing: the default listener."""
