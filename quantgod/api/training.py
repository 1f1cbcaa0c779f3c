"""Train a network by `steps.train` in a process of its own, and tell how far it is."""

from __future__ import annotations

import sys
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.api.desk import Desk
from quantgod.api.jobs import Job
from quantgod.tracking.orphans import runs_of
from quantgod.tracking.pipeline import resolved_config
from quantgod.tracking.stage import ERROR_TAG, STAGE_TAG

LOSS: Final = "validation_loss"
STATES: Final = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "cancelled"}
"""How a job has ended, by the status of its run."""


def training_command(desk: Desk, asked: dict[str, Any]) -> list[str]:
    """Return the command that trains what is asked for, by the settings of the server.

    A member is trained by its own settings; a network that is no member takes the place of the
    settings' own, with its own parameters' defaults.
    """
    settings, name = desk.settings, asked["architecture"]
    config = resolved_config(settings, desk.config)
    values = [] if asked["symbol"] is None else [f"data.symbol={asked['symbol']}"]
    command = [sys.executable, "-m", "steps.train", "--config", str(config.resolve())]
    if name in settings.members:
        command += ["--member", name]
    elif name != settings.model.name:
        values += [f"model.name={name}", "model.params={}"]
    for option in ("epochs", "batch_size"):
        if asked[option] is not None:
            command += [f"--{option.replace('_', '-')}", str(asked[option])]
    return [*command, *(["--set", ";".join(values)] if values else [])]


def run_of(client: MlflowClient, job: Job) -> Run | None:
    """Return the run that a job's process has opened; None before it has."""
    found = runs_of(client, job.process)
    return next((run for run in found if run.data.tags.get(STAGE_TAG) == "train"), None)


def losses(client: MlflowClient, run: Run) -> list[float]:
    """Return the validation loss of each epoch so far; an epoch that was told twice counts once."""
    told = client.get_metric_history(run.info.run_id, LOSS)
    return list({one.step: one.value for one in sorted(told, key=lambda one: one.step)}.values())


def ended_how(desk: Desk, job: Job, run: Run | None) -> tuple[str, str | None]:
    """Return how a job has ended whose process is gone, and why if it has not finished."""
    state = STATES.get(run.info.status if run is not None else "", "failed")
    if state == "finished":
        return state, None
    if job.is_cancelled or state == "cancelled":
        return "cancelled", None
    told = run.data.tags.get(ERROR_TAG) if run is not None else None
    return "failed", told or desk.jobs.last_line() or "its process ended without a word"
