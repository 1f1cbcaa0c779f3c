"""Train the members of one target side by side, and make the table that compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import joblib
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.evaluation.metrics import KEY_SCORES
from quantgod.evaluation.validation import ComparedMembers
from quantgod.evaluation.wording import interval_text
from quantgod.settings import Settings
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.pipeline import resolved_config
from quantgod.tracking.side_by_side import Announce, Job, run_side_by_side
from quantgod.tracking.stage import StageRun
from quantgod.tracking.supply import supply
from quantgod.training.devices import choose_device

VALIDATION: Final = "validation"
OUT_OF_FOLD: Final = "out_of_fold"
ROWS_FILE: Final = "rows.parquet"
"""Folders of a train run's rows beside the baselines', and the file in each."""

WORDS: Final = {OUT_OF_FOLD: "out of fold", VALIDATION: "of the validation part"}
FIGURES: Final = {OUT_OF_FOLD: "members", VALIDATION: "members_validation"}

HEADERS: Final = ("member", "on", "network", "window", "stride", "parameters", "epoch", *KEY_SCORES)
"""Columns of the table; `epoch` is the best one, counted from 0."""
SHOWN: Final = ("member", "parameters", *KEY_SCORES)
"""Those of them that a terminal has room for."""


def train_members(
    run: StageRun, members: Mapping[str, Settings], config: Path, announce: Announce
) -> dict[str, Run]:
    """Train each member as a child of `run`, which is active, or find its finished run.

    A search of a member's own settings is taken where an equal one is there.

    Args:
        run: has the labels that all of them learn from.
        members: settings by name.
        config: the settings file that names them.
        announce: called with what the trainings print.

    Raises:
        StageFailed: if one fails; the others are ended.
    """
    at_once = members_at_once(run.settings.members_at_once, members)
    jobs = []
    for name, settings in members.items():
        own = _beside_others(settings, at_once)
        upstream = supply("train", settings, config, announce)(run.upstream)
        jobs.append(Job(name, own, resolved_config(own, config), upstream))
    return run_side_by_side("train", jobs, at_once, announce)


def members_at_once(asked: int, members: Mapping[str, Settings]) -> int:
    """Return how many members train at a time.

    It is as many as asked, or as their threads leave cores for; all of them where a cluster trains.

    Raises:
        ValueError: if a member asks for a device that is absent.
    """
    if asked or all(own.train.scheduler is not None for own in members.values()):
        return asked or len(members)
    cores: int = joblib.cpu_count()
    return max(1, cores // max(_cores(settings, cores) for settings in members.values()))


def read_rows(runs: Mapping[str, Run], part: str, folder: Path) -> dict[str, pd.DataFrame]:
    """Return rows of train runs by member, of those that have any; they pass through `folder`.

    Args:
        runs: by member.
        part: `VALIDATION` or `OUT_OF_FOLD`.
        folder: for the files.
    """
    client, found = MlflowClient(), {}
    for name, run in runs.items():
        if client.list_artifacts(run.info.run_id, part):
            target = folder / name
            target.mkdir(exist_ok=True)
            found[name] = pd.read_parquet(artifacts_of(run.info.run_id, part, target) / ROWS_FILE)
    return found


def table_of(
    part: str, members: Mapping[str, Settings], runs: Mapping[str, Run], compared: ComparedMembers
) -> list[tuple[str, ...]]:
    """Return a row of `HEADERS` for each member, and for each baseline below them."""
    return [
        (name, WORDS[part], *_about(members.get(name), runs.get(name)), *_scores(compared, name))
        for name in compared.models
    ]


def shown(row: Sequence[str]) -> tuple[str, ...]:
    """Return those of a row's cells whose columns are `SHOWN`."""
    return tuple(cell for name, cell in zip(HEADERS, row, strict=True) if name in SHOWN)


def _beside_others(settings: Settings, at_once: int) -> Settings:
    """Let a member's folds take the cores that the other members leave, unless it says how many."""
    cores = joblib.cpu_count() // (at_once * (settings.train.threads or 1))
    workers = settings.train.workers or max(1, cores)
    train = settings.train.model_copy(update={"workers": workers})
    return settings.model_copy(update={"train": train})


def _cores(settings: Settings, cores: int) -> int:
    """Return the cores that a training takes; one on a GPU shares it with no other."""
    threads = settings.train.threads or cores
    return cores if choose_device(settings.train.device).type == "cuda" else min(threads, cores)


def _about(settings: Settings | None, run: Run | None) -> tuple[str, ...]:
    if settings is None or run is None:
        return ("-",) * (len(HEADERS) - len(KEY_SCORES) - 2)
    params = run.data.params
    trained = (f"{int(params['trained.parameters']):,}", params["trained.best_epoch"])
    shape = (params["model.name"], params["trained.window"], params["window.stride"])
    return (*shape, *trained)


def _scores(compared: ComparedMembers, name: str) -> tuple[str, ...]:
    return tuple(interval_text(compared.models[name][score]) for score in KEY_SCORES)
