"""Run one stage for several settings side by side, each in a process of its own.

As for a stage of `main`, a finished equal run is taken. All processes end when one fails, or when
this one is stopped: one that was killed lets them end as soon as they have something to print. A
stage that keeps checkpoints goes on from them the next time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Final

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from quantgod.settings import Settings
from quantgod.tracking.keys import finished_run
from quantgod.tracking.pipeline import StageFailed, failure_of, key_of
from quantgod.tracking.stage import MEMBER_TAG, run_name
from quantgod.tracking.store import PROJECT

Announce = Callable[[str], None]

LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a process has ended."""


@dataclass(frozen=True)
class Job:
    """A stage with the settings of one member.

    Attributes:
        member: its name, which leads every line of its process.
        settings: all of its settings.
        config: their file.
        upstream: ids of the runs whose results it takes, by stage.
    """

    member: str
    settings: Settings
    config: Path
    upstream: Mapping[str, str]


def run_side_by_side(
    stage: str, jobs: Sequence[Job], at_once: int, announce: Announce
) -> dict[str, Run]:
    """Find the finished run of each job, or make it as a child of the active run.

    Jobs that come to the same have one run.

    Args:
        stage: of all jobs.
        jobs: each of another member.
        at_once: processes at a time.
        announce: called with each line that a process prints, and for each run that is taken.

    Returns:
        The runs by member, in the order of the jobs.

    Raises:
        StageFailed: with the message of the first that failed; all others are ended.
    """
    client = MlflowClient()
    equal: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        equal[key_of(client, stage, job.settings, job.upstream)].append(job)
    found = {key: run for key in equal if (run := finished_run(client, key)) is not None}
    for key, run in found.items():
        names = ", ".join(job.member for job in equal[key])
        announce(f"{names}: unchanged since run {run.info.run_id}, skipped")
    left = {key: same[0] for key, same in equal.items() if key not in found}
    found |= _made(client, stage, left, at_once, announce)
    by_member = {job.member: found[key] for key, same in equal.items() for job in same}
    return {job.member: by_member[job.member] for job in jobs}


def _made(
    client: MlflowClient, stage: str, jobs: Mapping[str, Job], at_once: int, announce: Announce
) -> dict[str, Run]:
    """Run jobs by key, at most `at_once` at a time."""
    left, made = list(jobs), {}
    with _ending_all(client) as running:
        while left or running:
            while left and len(running) < at_once:
                running[left[0]] = _Child(client, stage, jobs[left[0]], announce)
                del left[0]
            for key in [key for key, child in running.items() if child.has_ended]:
                made[key] = running[key].run()
                del running[key]
            time.sleep(LOOK_SECONDS)
    return made


@contextmanager
def _ending_all(client: MlflowClient) -> Iterator[dict[str, _Child]]:
    """Yield the running processes by key; whoever runs at the end of the block is ended."""
    running: dict[str, _Child] = {}
    try:
        yield running
    finally:
        for child in running.values():
            child.process.terminate()
        for child in running.values():
            child.end("KILLED")


class _Child:
    """A stage's process, whose run is a child of the active run."""

    def __init__(self, client: MlflowClient, stage: str, job: Job, announce: Announce) -> None:
        self._client, self._job = client, job
        parent = mlflow.active_run()
        if parent is None:
            raise RuntimeError("stages run side by side as children of a run, and none is active")
        experiment = parent.info.experiment_id
        tags = {
            MLFLOW_PARENT_RUN_ID: parent.info.run_id,
            MLFLOW_RUN_NAME: run_name(stage, job.settings, job.member),
            MEMBER_TAG: job.member,
        }
        self._run_id = client.create_run(experiment, tags=tags).info.run_id
        self.process = subprocess.Popen(
            _command(stage, job),
            cwd=PROJECT,
            env=os.environ | _run_variables(self._run_id, experiment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        told = (self.process.stdout, job.member, announce)
        self._relay = Thread(target=_relay, args=told, daemon=True)
        self._relay.start()

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def run(self) -> Run:
        """Return the run of an ended process.

        Raises:
            StageFailed: if it failed.
        """
        self.end("FAILED")
        run = self._client.get_run(self._run_id)
        if self.process.returncode or run.info.status != "FINISHED":
            raise StageFailed(f"{self._job.member}: {failure_of(run)}")
        return run

    def end(self, status: str) -> None:
        """Wait for the process, and give its run this status if it could not do so itself."""
        self.process.wait()
        self._relay.join()
        if self._client.get_run(self._run_id).info.status == "RUNNING":
            self._client.set_terminated(self._run_id, status)


def _command(stage: str, job: Job) -> list[str]:
    runs = [part for up, run in job.upstream.items() for part in (f"--{up}-run", run)]
    config = str(job.config.resolve())
    return [sys.executable, "-m", f"steps.{stage}", "--config", config, *runs]


def _run_variables(run_id: str, experiment: str) -> dict[str, str]:
    """Return MLflow's variables by which a process joins a run, as `mlflow run` sets them."""
    return {
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_EXPERIMENT_ID": experiment,
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "PYTHONUNBUFFERED": "1",
    }


def _relay(lines: IO[str], member: str, announce: Announce) -> None:
    """Announce each line that a process prints, led by its member's name."""
    with lines:
        for line in lines:
            announce(f"{member}: {line.rstrip()}")
