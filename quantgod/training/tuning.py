"""The search for a network's parameters, by macro-F1 on the purged validation part.

Document 000, section 5. The first trial is what the settings say already, so a search never ends
below it. Every trial, whatever its window length, is judged on the same minutes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import optuna
import pandas as pd
import torch
from optuna import TrialPruned
from optuna.trial import TrialState

from quantgod.contracts import FEATURES, Progress, silent
from quantgod.dataset.splits import split_test, split_validation
from quantgod.dataset.windows import Samples, samples
from quantgod.files import value_digest
from quantgod.models import zoo
from quantgod.settings import Choice, ModelSettings, Range, SearchSpace, Section, Settings
from quantgod.training.checkpoints import Identity, array_digest, differences
from quantgod.training.identity import NOT_OF_THE_RUN
from quantgod.training.loop import fit
from quantgod.training.material import Material, material
from quantgod.training.reports import Epoch, OnEpoch, unheard
from quantgod.training.space import (
    RUN_PARAMETERS,
    current_values,
    joined_space,
    longest_window,
    suggest,
)
from quantgod.training.steps import NonFiniteLossError
from quantgod.training.study import (
    FINISHED,
    HEARTBEAT_SECONDS,
    StudyError,
    finished_trials,
    opened_study,
    running_trials,
)

OnTrial = Callable[[int, Mapping[str, Any]], AbstractContextManager[OnEpoch]]
"""Entered with a trial's number and parameters, gives what hears of its epochs. A pruned trial
leaves it by `TrialPruned`, whose text is the reason."""

OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
WAIT_SECONDS: Final = 1.0

NOT_OF_THE_STUDY: Final = {"trials", "storage", "study", "space"}
"""Of the search's settings, what may change while a study goes on, or is compared elsewhere."""


class BestParameters(Section):
    """What a search found; JSON-able, and refused when read back with keys it does not know.

    Attributes:
        study: the search's name.
        trial: the best trial's number.
        trials: how many were completed or pruned.
        score: macro-F1 of the best trial's best epoch.
        model: architecture with all its parameters.
        learning_rate: of the best trial.
        batch_size: of the best trial.
        window_length: of the best trial.
    """

    study: str
    trial: int
    trials: int
    score: float
    model: ModelSettings
    learning_rate: float
    batch_size: int
    window_length: int

    def applied_to(self, settings: Settings) -> Settings:
        """The settings with these values in their places."""
        train = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        return settings.model_copy(
            update={
                "model": self.model,
                "train": settings.train.model_copy(update=train),
                "window": settings.window.model_copy(update={"length": self.window_length}),
            }
        )


class Search(NamedTuple):
    """The best parameters, and the study they come from, for figures."""

    best: BestParameters
    study: optuna.Study


@contextmanager
def unattended(number: int, params: Mapping[str, Any]) -> Iterator[OnEpoch]:
    """Watch no trial: the default watcher."""
    yield unheard


def tune(
    table: pd.DataFrame,
    settings: Settings,
    folder: Path,
    *,
    on_trial: OnTrial = unattended,
    progress: Progress = silent,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
) -> Search:
    """Search until the study has `optimize.trials` finished trials, counting those it had.

    Args:
        table: what `label` returns. Its test part is not looked at.
        settings: all of it; optimize, model, train, window and split are read.
        folder: where the journal lies, if the storage is one.
        on_trial: told of each trial.
        progress: hears of trials.
        heartbeat_seconds: how often a running trial gives a sign of life to a database.

    Raises:
        SettingsError: for a space that does not fit the architecture.
        StudyError: if the study is in use, was made with other settings or data, or no trial of it
            was completed.
    """
    space = joined_space(settings.model, settings.optimize.space)
    objective = _Objective(table, settings, space, on_trial, progress)
    wanted = settings.optimize.trials
    with opened_study(settings.optimize, folder, heartbeat_seconds) as study:
        _claim(study, _identity(table, settings, space))
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(current_values(settings, space), skip_if_exists=True)
        while finished_trials(study) < wanted:
            if finished_trials(study) + running_trials(study) < wanted:
                study.optimize(objective, n_trials=1, catch=(_SurplusTrialError,))
            else:
                time.sleep(WAIT_SECONDS)  # for other machines, whose trials may yet be lost
        return Search(_best(study, settings), study)


def study_key(table: pd.DataFrame, settings: Settings) -> str:
    """Short name of all that must stay as it is while a study goes on; a folder to keep it in."""
    space = joined_space(settings.model, settings.optimize.space)
    return value_digest(_identity(table, settings, space))[:16]


class _SurplusTrialError(Exception):
    """Another machine has just begun the last trial that was wanted."""


class _Objective:
    """One trial: choose, train, report every epoch, return the best epoch's score."""

    def __init__(
        self,
        table: pd.DataFrame,
        settings: Settings,
        space: SearchSpace,
        on_trial: OnTrial,
        progress: Progress,
    ) -> None:
        self._table, self._settings, self._space = table, settings, space
        self._on_trial, self._progress = on_trial, progress
        self._train, self._validation = _parts(table, settings, longest_window(settings, space))
        self._materials: dict[int, Material] = {}

    def __call__(self, trial: optuna.Trial) -> float:
        self._refuse_surplus(trial)
        chosen = suggest(trial, self._space)
        candidate = _candidate(self._settings, chosen)
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
        window, train = candidate.window.length, candidate.train
        model = zoo.build(
            candidate.model.name,
            candidate.model.params,
            features=len(FEATURES),
            window=window,
            seed=train.seed,
        )
        windows = self._material(window).windows
        return fit(
            model, windows, self._train, self._validation, train, on_epoch=on_epoch
        ).best_score

    def _material(self, window: int) -> Material:
        if window not in self._materials:
            self._materials[window] = material(self._table, self._train, window)
        return self._materials[window]

    def _refuse_surplus(self, trial: optuna.Trial) -> None:
        taken = (*FINISHED, TrialState.RUNNING)
        others = trial.study.get_trials(deepcopy=False, states=taken)
        before = sum(other.number < trial.number for other in others)
        if before >= self._settings.optimize.trials:
            raise _SurplusTrialError

    def _tell(self, trial: optuna.Trial, epoch: Epoch) -> None:
        wanted, epochs = self._settings.optimize.trials, self._settings.optimize.epochs
        note = f"trial {trial.number}, epoch {epoch.epoch + 1}/{epochs}, score {epoch.score:.3f}"
        self._progress(min(finished_trials(trial.study), wanted), wanted, note)


def pruned_if_it_cannot_run(train: Callable[[], float]) -> float:
    """Train; memory that runs out, and weights that run away, prune the trial.

    Raises:
        TrialPruned: saying which. Any other fault passes through as it is.
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
    # Here the exception is gone, and with it the frames whose tensors filled the memory.
    gc.collect()
    torch.cuda.empty_cache()
    raise TrialPruned(reason)


def _parts(table: pd.DataFrame, settings: Settings, window: int) -> tuple[Samples, Samples]:
    """Training and validation samples that have a window of every length searched."""
    taken = samples(table, window, settings.optimize.stride)
    dev = split_test(taken, settings.split).train
    split = split_validation(taken, dev, settings.split.validation_fraction, settings.split)
    return taken.take(split.train), taken.take(split.other)


def _candidate(settings: Settings, chosen: Mapping[str, Choice]) -> Settings:
    """The settings with a trial's choices, and the search's own number of epochs."""
    own = {name: value for name, value in chosen.items() if name not in RUN_PARAMETERS}
    train = {name: chosen[name] for name in ("learning_rate", "batch_size") if name in chosen}
    values = settings.model_dump()
    values["model"]["params"].update(own)
    values["train"].update(train, epochs=settings.optimize.epochs)
    values["window"]["length"] = chosen.get("window_length", settings.window.length)
    return Settings.model_validate(values)


def _identity(table: pd.DataFrame, settings: Settings, space: SearchSpace) -> Identity:
    """What must not change while a study goes on. How many trials are wanted may."""
    held = settings.model_dump(mode="json")
    return {
        "model": held["model"],
        "train": {k: v for k, v in held["train"].items() if k not in NOT_OF_THE_RUN},
        "window": held["window"],
        "split": held["split"],
        "optimize": {k: v for k, v in held["optimize"].items() if k not in NOT_OF_THE_STUDY},
        "space": {k: v.model_dump() if isinstance(v, Range) else v for k, v in space.items()},
        "bars": array_digest(table[[*FEATURES, "target"]].to_numpy(np.float64)),
    }


def _claim(study: optuna.Study, identity: Identity) -> None:
    known = study.user_attrs.get("identity")
    if known is None:
        study.set_user_attr("identity", dict(identity))
        return
    differing = differences(known, identity)
    if differing:
        raise StudyError(
            f"study {study.study_name!r} was made with other {differing}; "
            "give optimize.study another name"
        )


def _best(study: optuna.Study, settings: Settings) -> BestParameters:
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise StudyError(f"study {study.study_name!r}: every trial was pruned; none was completed")
    best = study.best_trial
    candidate = _candidate(settings, best.params)
    return BestParameters(
        study=study.study_name,
        trial=best.number,
        trials=finished_trials(study),
        score=study.best_value,
        model=candidate.model,
        learning_rate=candidate.train.learning_rate,
        batch_size=candidate.train.batch_size,
        window_length=candidate.window.length,
    )
