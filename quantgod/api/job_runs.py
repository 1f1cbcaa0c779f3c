"""Tell of a job by the run that its process has opened."""

from __future__ import annotations

from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.api.jobs import Job, Jobs
from quantgod.tracking.orphans import runs_of
from quantgod.tracking.stage import ERROR_TAG, STAGE_TAG

STATES: Final = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "cancelled"}
"""How a job has ended, by the status of its run."""


def run_of(client: MlflowClient, job: Job, stage: str) -> Run | None:
    """Return the run of a stage that a job's process has opened; None before it has."""
    found = runs_of(client, job.process)
    return next((run for run in found if run.data.tags.get(STAGE_TAG) == stage), None)


def ended_how(jobs: Jobs, job: Job, run: Run | None) -> tuple[str, str | None]:
    """Return how a job has ended whose process is gone, and why if it has not finished."""
    state = STATES.get(run.info.status if run is not None else "", "failed")
    if state == "finished":
        return state, None
    if job.is_cancelled or state == "cancelled":
        return "cancelled", None
    told = run.data.tags.get(ERROR_TAG) if run is not None else None
    return "failed", told or jobs.last_line() or "its process ended without a word"
