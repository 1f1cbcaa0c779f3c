"""Search a network's parameters by macro-F1 on the purged validation part.

Document 000, section 5. The first trial tries the settings as they are, so a search never ends
below them. All trials, whatever their window length, are judged on the same minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, NamedTuple

import numpy as np
import optuna
import pandas as pd
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from quantgod.contracts import Progress, silent
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.files import value_digest
from quantgod.models import zoo
from quantgod.settings import Range, SearchSpace, Settings
from quantgod.training.best import BestParameters
from quantgod.training.checkpoints import Identity, array_digest, differences
from quantgod.training.identity import NOT_OF_THE_RUN, books_digest, code_digest
from quantgod.training.space import current_values, joined_space
from quantgod.training.study import (
    HEARTBEAT_SECONDS,
    StudyError,
    finished_trials,
    opened_study,
    running_trials,
)
from quantgod.training.trial import (
    OnTrial,
    SurplusTrialError,
    TrialObjective,
    trial_settings,
    unattended,
)

__all__ = ["OnTrial", "Search", "study_key", "tune"]

WAIT_SECONDS: Final = 1.0

NOT_OF_THE_STUDY: Final = {"trials", "hours", "storage", "study", "space"}
"""Settings of the search that may change during a study, or are compared elsewhere."""


class Search(NamedTuple):
    """The best parameters, and their study for figures."""

    best: BestParameters
    study: optuna.Study


def tune(
    table: pd.DataFrame,
    settings: Settings,
    folder: Path,
    *,
    blocks: BookBlocks | None = None,
    on_trial: OnTrial = unattended,
    progress: Progress = silent,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
) -> Search:
    """Search until the study has `optimize.trials` finished trials, including earlier ones.

    No trial begins once `optimize.hours` have passed here and there is one to choose.

    Args:
        table: what `label` returns. Its test part is not used.
        settings: all of it; optimize, model, train, window and split are read.
        folder: of the journal, if the storage is one.
        blocks: of the book, for networks that look at it; each seen row has a whole one.
        on_trial: context entered for each trial.
        progress: called after epochs of trials.
        heartbeat_seconds: interval of a running trial's heartbeat in a database.

    Raises:
        SettingsError: for a space that does not fit the architecture.
        StudyError: if the study is in use, was made with other settings or data, or has no
            completed trial.
    """
    space = joined_space(settings.model, settings.optimize.space)
    objective = TrialObjective(table, settings, space, on_trial, progress, blocks)
    wanted, first = settings.optimize.trials, current_values(settings, space)
    known: set[int] = set()  # trials that were seen to run
    begun, limit = monotonic(), (settings.optimize.hours or math.inf) * 3600
    with opened_study(settings.optimize, folder, first, heartbeat_seconds) as study:
        _claim(study, _identity(table, settings, space, blocks))
        while finished_trials(study) < wanted:
            if monotonic() - begun >= limit and _is_any_complete(study):
                break
            if finished_trials(study) + running_trials(study, known) < wanted:
                _try_one(study, objective)
            else:
                sleep(WAIT_SECONDS)  # for other machines, whose trials may yet be lost
        return Search(_best(study, settings), study)


def study_key(table: pd.DataFrame, settings: Settings, blocks: BookBlocks | None = None) -> str:
    """Return a short digest of all that must not change during a study, used as its folder name."""
    space = joined_space(settings.model, settings.optimize.space)
    return value_digest(_identity(table, settings, space, blocks))[:16]


def _try_one(study: optuna.Study, objective: TrialObjective) -> None:
    try:
        study.optimize(objective, n_trials=1, catch=(SurplusTrialError,))
    except UpdateFinishedTrialError:
        pass
    except ValueError as error:
        # SQLite may hand a retried trial to two machines; the other one was faster.
        if not str(error).startswith("Cannot tell a"):
            raise


def _identity(
    table: pd.DataFrame, settings: Settings, space: SearchSpace, blocks: BookBlocks | None
) -> Identity:
    """Return what must not change during a study. The number of wanted trials may change."""
    held = settings.model_dump(mode="json")
    books = {} if blocks is None else {"books": books_digest(blocks, table)}
    columns = zoo.inputs(settings.model.name, settings.window.length).columns
    return {
        "model": held["model"],
        "train": _without(held["train"], NOT_OF_THE_RUN | {"epochs"}),
        "window": held["window"]["length"],
        "split": _without(held["split"], {"folds"}),
        "optimize": _without(held["optimize"], NOT_OF_THE_STUDY),
        "space": {k: v.model_dump() if isinstance(v, Range) else v for k, v in space.items()},
        "code": code_digest(),
        "bars": array_digest(table[[*columns, "target"]].to_numpy(np.float64)),
        **books,
    }


def _without(values: Mapping[str, Any], names: Set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


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


def _is_any_complete(study: optuna.Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _best(study: optuna.Study, settings: Settings) -> BestParameters:
    if not _is_any_complete(study):
        raise StudyError(f"study {study.study_name!r}: every trial was pruned; none was completed")
    best = study.best_trial
    laid = trial_settings(settings, best.params)
    return BestParameters(
        study=study.study_name,
        trial=best.number,
        trials=finished_trials(study),
        score=study.best_value,
        model=laid.model,
        learning_rate=laid.train.learning_rate,
        batch_size=laid.train.batch_size,
        window_length=laid.window.length,
    )
