"""Search and train the members of one target side by side, and make the tables of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import joblib
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.contracts import Integers
from quantgod.dataset.enough import TooFewRowsError
from quantgod.dataset.learning_table import learned_from
from quantgod.evaluation.common_minutes import (
    OUT_OF_FOLD,
    VALIDATION,
    WORDS,
    check_common,
    forecast_minutes,
)
from quantgod.evaluation.metrics import KEY_SCORES
from quantgod.evaluation.validation import ComparedMembers
from quantgod.evaluation.wording import interval_text
from quantgod.settings import Settings, with_values
from quantgod.tracking.chosen import chosen_settings, replaced, trials_of
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.pipeline import resolved_config
from quantgod.tracking.side_by_side import Announce, Job, run_side_by_side
from quantgod.tracking.stage import StageRun, input_paths
from quantgod.tracking.supply import supply
from quantgod.training.devices import choose_device

ROWS_FILE: Final = "rows.parquet"
"""The file of rows beside the baselines', in a train run's folder that is named after the part."""

FIGURES: Final = {OUT_OF_FOLD: "members", VALIDATION: "members_validation"}

HEADERS: Final = ("member", "on", "network", "window", "stride", "parameters", "epoch", *KEY_SCORES)
"""Columns of the table; `epoch` is the best one, counted from 0."""
SEARCH_HEADERS: Final = ("member", "network", "trials", "macro_f1", "replaced by the search")
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
        announce: called with what is read, and with what the trainings print.

    Raises:
        StageFailed: if one fails; the others are ended.
        TooFewRowsError: naming a member, before any is trained.
        NoCommonRowError: if they would forecast no minute in common, before any is trained.
    """
    at_once = members_at_once(run.settings.members_at_once, members)
    each = {name: beside_others(settings, at_once) for name, settings in members.items()}
    jobs = _jobs("train", run, each, config, announce)
    check_common({job.member: _minutes(job, announce) for job in jobs})
    return run_side_by_side("train", jobs, at_once, announce)


def search_members(
    run: StageRun, members: Mapping[str, Settings], config: Path, announce: Announce
) -> dict[str, Run]:
    """Search the parameters of each member as a child of `run`, or find its finished search.

    Raises:
        StageFailed: if one fails; the others are ended.
    """
    here = {name: with_values(own, {"train.scheduler": None}) for name, own in members.items()}
    at_once = members_at_once(run.settings.members_at_once, here)
    jobs = _jobs("optimize", run, members, config, announce)
    return run_side_by_side("optimize", jobs, at_once, announce)


def search_table(members: Mapping[str, Settings], runs: Mapping[str, Run]) -> list[tuple[str, ...]]:
    """Return a row of `SEARCH_HEADERS` for each member: its best trial and what it has chosen."""
    table: list[tuple[str, ...]] = []
    for name, run in runs.items():
        found = chosen_settings(members[name], run.info.run_id)
        trials, score = trials_of(run.info.run_id), run.data.metrics["best_macro_f1"]
        changed = replaced(members[name], found) or "nothing"
        table.append((name, found.model.name, str(trials), f"{score:.3f}", changed))
    return table


def _jobs(
    stage: str, run: StageRun, members: Mapping[str, Settings], config: Path, announce: Announce
) -> list[Job]:
    """Return a stage's job of each member, with the runs before it."""
    return [
        Job(
            name,
            settings,
            resolved_config(settings, config),
            supply(stage, settings, config, _of(name, announce))(run.upstream),
        )
        for name, settings in members.items()
    ]


def _of(member: str, announce: Announce) -> Announce:
    """Let each line begin with a member's name, as those of its process do."""
    return lambda text: announce(f"{member}: {text}")


def _minutes(job: Job, announce: Announce) -> dict[str, Integers]:
    """Return the minutes that a member will forecast, of the rows that it will learn from."""
    _of(job.member, announce)("reads what it learns from")
    chosen = chosen_settings(job.settings, job.upstream.get("optimize"))
    table, _ = learned_from(input_paths("train", job.settings, job.upstream))
    try:
        return forecast_minutes(table, chosen)
    except TooFewRowsError as error:
        raise TooFewRowsError(f"member {job.member}: {error}") from error


def members_at_once(asked: int, members: Mapping[str, Settings]) -> int:
    """Return how many members train at a time.

    It is as many as asked, or as their threads leave cores for; all of them where a cluster trains.
    Of members that take a core each one more trains, so that no core waits for the last of them.

    Raises:
        ValueError: if a member asks for a device that is absent.
    """
    if asked or all(own.train.scheduler is not None for own in members.values()):
        return asked or len(members)
    cores: int = joblib.cpu_count()
    most = max(_cores(settings, cores) for settings in members.values())
    one_more = most == 1 < cores and len(members) > cores
    return max(1, cores // most) + one_more


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


def beside_others(settings: Settings, at_once: int) -> Settings:
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
