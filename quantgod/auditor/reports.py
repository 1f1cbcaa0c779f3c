"""Records and hooks by which an audit reports its folds, their epochs and its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from quantgod.contracts import Progress, silent
from quantgod.training.reports import Epoch


@dataclass(frozen=True)
class FoldReport:
    """The result of one fold. Times are UTC, in ISO 8601.

    Attributes:
        fold: counted from 1.
        fit: number of samples the model was fitted on.
        stopping: number of samples used for early stopping.
        forecast: number of samples it then forecast.
        trained_until: the last label end of the fit and stopping samples.
        best_epoch: the epoch whose weights were kept, counted from 0.
        best_score: score of that epoch on the stopping samples.
        scaler: the model's scaler as JSON.
        history: every epoch, in order, as JSON; also those before a kill.
        reused: True if the fold was found finished and not trained by this call.
    """

    fold: int
    fit: int
    stopping: int
    forecast: int
    trained_until: str
    best_epoch: int
    best_score: float
    scaler: dict[str, list[float]]
    history: list[dict[str, Any]]
    reused: bool = False


OnEpoch = Callable[[int, Epoch], None]
OnFold = Callable[[FoldReport], None]


@dataclass(frozen=True)
class Hooks:
    """Functions called during an audit: for each epoch of a fold, each fold's end, and progress."""

    on_epoch: OnEpoch = lambda fold, epoch: None
    on_fold: OnFold = lambda report: None
    progress: Progress = silent

    def of_fold(self, fold: int, folds: int) -> Hooks:
        """Return the same hooks, whose progress notes name the fold."""

        def progress(done: int, total: int, note: str) -> None:
            self.progress(done, total, f"fold {fold}/{folds}: {note}")

        return replace(self, progress=progress)


UNHEARD: Final = Hooks()
"""Hooks that ignore everything: the default."""
