"""Run one trial of a search: choose parameters, train, report every epoch, return the score."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import optuna
import pandas as pd
import torch
from optuna import TrialPruned
from optuna.trial import TrialState

from quantgod.contracts import Progress
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.models import zoo
from quantgod.settings import Choice, SearchSpace, Settings
from quantgod.training.fitting import fit_network
from quantgod.training.material import Material, material, train_and_validation
from quantgod.training.reports import Epoch, OnEpoch, unheard
from quantgod.training.space import RUN_PARAMETERS, longest_window, shortest_window, suggest
from quantgod.training.steps import NonFiniteLossError
from quantgod.training.study import FINISHED, finished_trials

OnTrial = Callable[[int, Mapping[str, Any]], AbstractContextManager[OnEpoch]]
"""Context entered with a trial's number and parameters; it yields the listener of its epochs. A
pruned trial leaves it by `TrialPruned`, whose text is the reason."""

OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def unattended(number: int, params: Mapping[str, Any]) -> Iterator[OnEpoch]:
    """Watch no trial: the default watcher."""
    yield unheard


class SurplusTrialError(Exception):
    """Another machine has just started the last trial that was wanted."""


class TrialObjective:
    """The function that a study maximises: a trial's score is that of its best epoch."""

    def __init__(
        self,
        table: pd.DataFrame,
        settings: Settings,
        space: SearchSpace,
        on_trial: OnTrial,
        progress: Progress,
        blocks: BookBlocks | None = None,
    ) -> None:
        self._table, self._settings, self._space = table, settings, space
        self._blocks = blocks
        self._on_trial, self._progress = on_trial, progress
        zoo.inputs(settings.model.name, shortest_window(settings, space))  # refused before a trial
        # Samples that have a window of every searched length, so that all trials are judged alike.
        self._train, self._validation = train_and_validation(
            table, longest_window(settings, space), settings.optimize.stride, settings.split
        )
        self._materials: dict[int, Material] = {}

    def __call__(self, trial: optuna.Trial) -> float:
        """Run the trial.

        Raises:
            TrialPruned: if it is below the median, or cannot run.
            SurplusTrialError: if enough trials were started before it.
        """
        self._refuse_surplus(trial)
        chosen = suggest(trial, self._space)
        candidate = trial_settings(self._settings, chosen)
        with self._on_trial(trial.number, chosen) as hear:
            return self._score(trial, candidate, hear)

    def _score(self, trial: optuna.Trial, candidate: Settings, hear: OnEpoch) -> float:
        def on_epoch(epoch: Epoch) -> None:
            hear(epoch)
            self._tell(trial, epoch)
            trial.report(epoch.score, epoch.epoch)
            if trial.should_prune():
                raise TrialPruned(f"below the median of earlier trials at epoch {epoch.epoch}")

        return pruned_if_it_cannot_run(lambda: self._fit(candidate, on_epoch))

    def _fit(self, candidate: Settings, on_epoch: OnEpoch) -> float:
        views = self._material(candidate.window.length).views
        parts = (self._train, self._validation)
        fitted = fit_network(candidate.model, candidate.train, views, *parts, on_epoch=on_epoch)
        return fitted.fit.best_score

    def _material(self, window: int) -> Material:
        if window not in self._materials:
            shape = None if self._blocks is None else self._blocks.book
            inputs = zoo.inputs(self._settings.model.name, window, shape)
            self._materials[window] = material(self._table, self._train, inputs, self._blocks)
        return self._materials[window]

    def _refuse_surplus(self, trial: optuna.Trial) -> None:
        taken = (*FINISHED, TrialState.RUNNING)
        others = trial.study.get_trials(deepcopy=False, states=taken)
        before = sum(other.number < trial.number for other in others)
        if before >= self._settings.optimize.trials:
            raise SurplusTrialError

    def _tell(self, trial: optuna.Trial, epoch: Epoch) -> None:
        wanted, epochs = self._settings.optimize.trials, self._settings.optimize.epochs
        note = f"trial {trial.number}, epoch {epoch.epoch + 1}/{epochs}, score {epoch.score:.3f}"
        self._progress(min(finished_trials(trial.study), wanted), wanted, note)


def pruned_if_it_cannot_run(train: Callable[[], float]) -> float:
    """Train, and prune the trial if memory runs out or the loss is not finite.

    Raises:
        TrialPruned: with the reason. Any other exception passes through.
    """
    try:
        return train()
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        reason = f"out of memory: {error}"
    except NonFiniteLossError as error:
        reason = str(error)
    except RuntimeError as error:
        if not any(text in str(error).lower() for text in OUT_OF_MEMORY):
            raise
        reason = f"out of memory: {error}"
    # The exception is gone here, and with it the frames whose tensors filled the memory.
    gc.collect()
    torch.cuda.empty_cache()
    raise TrialPruned(reason)


def trial_settings(settings: Settings, chosen: Mapping[str, Choice]) -> Settings:
    """Return the settings with a trial's choices and the search's number of epochs."""
    own = {name: value for name, value in chosen.items() if name not in RUN_PARAMETERS}
    train = {name: chosen[name] for name in ("learning_rate", "batch_size") if name in chosen}
    values = settings.model_dump()
    values["model"]["params"].update(own)
    values["train"].update(train, epochs=settings.optimize.epochs)
    values["window"]["length"] = chosen.get("window_length", settings.window.length)
    return Settings.model_validate(values)
