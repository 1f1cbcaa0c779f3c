"""Change the ensemble in place by `steps.change`, in a process of its own, and tell of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from quantgod.api.answers import FieldError
from quantgod.api.desk import Desk
from quantgod.api.job_runs import STATES
from quantgod.api.jobs import Job, JobRefusedError
from quantgod.api.members import InPlace, in_place
from quantgod.api.performance import last_reported
from quantgod.ensemble.fitting import UnknownMemberError
from quantgod.registry.changing import MADE, ChangeError, EnsembleChange
from quantgod.registry.deployments import deployments
from quantgod.registry.moving import LedgerWentOnError
from quantgod.tracking.pipeline import resolved_config
from quantgod.tracking.stage import STAGE_TAG


class ChangedStage(NamedTuple):
    """A stage of a change, and how it stands: see `ChangeStage` of the routes.

    `seconds` that it has run are None unless it has begun.
    """

    stage: str
    state: str
    seconds: float | None


def begin_change(desk: Desk, asked: EnsembleChange, seen: str, reason: str | None) -> Job:
    """Start a change of the version in place, unless it is sure to be refused.

    Args:
        desk: what the routes work on.
        asked: the change.
        seen: head of the ledger that its caller has seen.
        reason: for the ledger, besides the change itself.

    Raises:
        AbsentError: if no ensemble is in place.
        LedgerWentOnError: if the ledger has another head.
        FieldError: if it names no member.
        ChangeError: if it changes nothing, or cannot be.
        JobRefusedError: if another job is running.
    """
    found = in_place(desk)
    if found.own is None:
        raise ChangeError("the settings that the version in place was made by are not known")
    if deployments(desk.client, desk.name, desk.alias).head != seen:
        raise LedgerWentOnError(f"{desk.name}@{desk.alias}: its ledger went on since it was read")
    try:
        asked.of(found.own)
    except UnknownMemberError as error:
        raise FieldError("body.model_type", str(error)) from None
    said = {"change": asked.in_words(), "reason": reason}
    return desk.changes.begin(change_command(desk, asked, seen, reason), said)


def weigh_by_reports(desk: Desk, found: InPlace) -> Job | None:
    """Start a change to weights in proportion to the reported accuracies of all members in place.

    None if one of them was not reported of this version, nothing would change, or a job is running.
    """
    reports = last_reported(desk.settings.manage.folder)
    mine = [one for one in reports.values() if one.version == int(found.version.version)]
    weights = {one.model_type: one.accuracy for one in mine}
    if set(weights) != set(found.combiner.members):
        return None
    head = deployments(desk.client, desk.name, desk.alias).head
    with suppress(ChangeError, JobRefusedError):
        return begin_change(desk, EnsembleChange(weights), head, "accuracies were reported")
    return None


def change_command(desk: Desk, asked: EnsembleChange, seen: str, reason: str | None) -> list[str]:
    """Return the command that changes the version in place."""
    config = resolved_config(desk.settings, desk.config)
    named = {
        "weight": [f"{name}={weight!r}" for name, weight in asked.weights.items()],
        "strategy": [asked.strategy] if asked.strategy else [],
        "enable": [name for name, is_on in asked.enabled.items() if is_on],
        "disable": [name for name, is_on in asked.enabled.items() if not is_on],
        "seen": [seen],
    }
    options = [f"--{option}={','.join(given)}" for option, given in named.items() if given]
    options += [] if reason is None else [f"--reason={reason}"]
    return [sys.executable, "-m", "steps.change", "--config", str(config.resolve()), *options]


def children_of(client: MlflowClient, run: Run) -> dict[str, Run]:
    """Return the stages that a change has run itself, by name."""
    wanted = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run.info.run_id}'"
    found = client.search_runs([run.info.experiment_id], wanted)
    # Its name begins with its stage, which its tag says only once it has read its inputs.
    return {one.data.tags.get(STAGE_TAG) or one.info.run_name.split()[0]: one for one in found}


def changed_stages(children: Mapping[str, Run], change: str) -> Iterator[ChangedStage]:
    """Yield all stages of a change in order.

    Args:
        children: the stages that it has run itself, by name.
        change: its own state. What has not finished of an ended one is as itself is: the store may
            say of such a stage that it failed, or even that it runs.
    """
    begun = [place for place, name in enumerate(MADE) if name in children]
    for place, name in enumerate(MADE):
        run = children.get(name)
        if run is None:
            is_over = change == "finished" or place < max(begin for begin in [*begun, -1])
            to_come = "cancelled" if change == "cancelled" else "waiting"
            yield ChangedStage(name, "unchanged" if is_over else to_come, None)
        else:
            state = STATES.get(run.info.status, "running")
            if change in ("cancelled", "failed") and state != "finished":
                state = change
            is_running = state == "running"
            until = run.info.end_time or (time.time() * 1000 if is_running else None)
            taken = None if until is None else round((until - run.info.start_time) / 1000, 1)
            yield ChangedStage(name, state, taken)
