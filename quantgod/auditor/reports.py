"""What an audit tells: of each fold's epochs, of each fold's end, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from quantgod.contracts import Progress, silent
from quantgod.training.reports import Epoch


@dataclass(frozen=True)
class FoldReport:
    """How one fold went. Times are UTC, in ISO 8601.

    Attributes:
        fold: counted from 1.
        fit: samples the model was fitted on.
        stopping: samples that stopped it.
        forecast: samples it was then read on.
        trained_until: the last label end among the first two.
        best_epoch: whose weights were kept, counted from 0.
        best_score: of that epoch on the stopping samples.
        scaler: the model's, as JSON has it.
        reused: the fold was found finished and not trained by this call.
    """

    fold: int
    fit: int
    stopping: int
    forecast: int
    trained_until: str
    best_epoch: int
    best_score: float
    scaler: dict[str, list[float]]
    reused: bool = False


OnEpoch = Callable[[int, Epoch], None]
OnFold = Callable[[FoldReport], None]


@dataclass(frozen=True)
class Hooks:
    """Who hears of an audit: each fold's epochs (with the fold's number), each fold's end."""

    on_epoch: OnEpoch = lambda fold, epoch: None
    on_fold: OnFold = lambda report: None
    progress: Progress = silent

    def of_fold(self, fold: int, folds: int) -> Hooks:
        """The same hooks, whose progress says which fold it is in."""

        def progress(done: int, total: int, note: str) -> None:
            self.progress(done, total, f"fold {fold}/{folds}: {note}")

        return replace(self, progress=progress)


UNHEARD: Final = Hooks()
"""Nobody listens: the default."""
