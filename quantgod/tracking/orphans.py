"""Close runs that are still RUNNING although their process is gone."""

from __future__ import annotations

import socket

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from quantgod.tracking.store import family

PROCESS_TAG = "quantgod.process"


def process_tag(number: int | None = None) -> str:
    """Return host, id and start time of a process (else this one), which identify it uniquely."""
    process = psutil.Process(number)
    return f"{socket.gethostname()}/{process.pid}/{process.create_time():.2f}"


def runs_of(client: MlflowClient, process: str) -> list[Run]:
    """Return the runs that a process (of `process_tag`) has opened, the newest first."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    wanted = f"tags.`{PROCESS_TAG}` = '{process}'"
    found = client.search_runs(experiments, wanted, order_by=["attributes.start_time DESC"])
    return list(found)


def close_orphans(client: MlflowClient, experiment_id: str) -> list[str]:
    """End as KILLED every RUNNING run of this machine whose process is gone; return their ids.

    A child run that was killed before its stage could tag it ends with its parent. The experiments
    that belong to this one are searched too.
    """
    running = client.search_runs(
        family(client, experiment_id), "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY, 1_000
    )
    dead = {run.info.run_id for run in running if _is_dead(run)}
    dead |= {run.info.run_id for run in running if _lost_its_parent(run, dead)}
    for run_id in dead:
        client.set_terminated(run_id, "KILLED")
    return sorted(dead)


def process_is_gone(tag: str) -> bool:
    """Return whether the process of this `process_tag` ran on this machine and has ended."""
    host, _, rest = tag.partition("/")
    if host != socket.gethostname():
        return False
    number, _, started = rest.partition("/")
    try:
        process = psutil.Process(int(number))
        if process.status() == psutil.STATUS_ZOMBIE:  # it ended, and nobody has asked how
            return True
        return f"{process.create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def _is_dead(run: Run) -> bool:
    return process_is_gone(run.data.tags.get(PROCESS_TAG, ""))


def _lost_its_parent(run: Run, dead: set[str]) -> bool:
    unsigned = PROCESS_TAG not in run.data.tags
    return unsigned and run.data.tags.get(MLFLOW_PARENT_RUN_ID) in dead
