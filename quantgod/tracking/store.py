"""Connect to the tracking store, with limits on the duration of calls."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from quantgod.files import atomic_path
from quantgod.settings import TrackingSettings
from quantgod.tracking.relocation import check_place, database

PROJECT = Path(__file__).resolve().parents[2]

# MLflow's defaults block a caller for minutes if the server is away, draw progress bars for tiny
# files, and print a run's address each time a process leaves it.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_SQLITE = b"SQLite format 3\0"
"""The first bytes of every such database that is not empty."""

_RELATIVE_SQLITE = "sqlite:///"
NOTE_TAG = "mlflow.note.content"
TRIALS = "trials"
SESSIONS = "sessions"
NOTES = {
    "runs": "Stages, and whole runs of `main` by what they are compared by; `make ui` opens them.",
    TRIALS: "Trials of searches, of which the best was taken by a run of `optimize`.",
    SESSIONS: "Models in use: live sessions, recordings, and the forecasts of each day.",
}
"""Description of each experiment in MLflow's list."""
_COMPARED = ("mlflow.experimentKind", "custom_model_development")


def be_brief(seconds: int = 2) -> None:
    """Limit each call to the server to `seconds`, for a process that must end soon.

    Undelivered data stays in the outbox. Call it before `connect`, and again to reduce the limit.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(seconds)


def connect(settings: TrackingSettings) -> MlflowClient:
    """Connect MLflow to the store and the experiment, and return a client.

    `MLFLOW_TRACKING_URI` and a run or experiment in MLflow's own variables override the settings. A
    new experiment of the default store gets an explicit, absolute artifact folder.

    Raises:
        MovedProjectError: if the project's store keeps its artifacts in another folder.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    local = "MLFLOW_TRACKING_URI" not in os.environ
    if local:
        mlflow.set_tracking_uri(_absolute(settings.uri))
    uri = mlflow.get_tracking_uri()
    with _first_use(database(uri)):
        client = MlflowClient()
        experiment = _experiment(client, settings, local=local)
    if experiment is not None:
        check_place(experiment, uri, PROJECT, settings.artifacts)
    return client


def _experiment(
    client: MlflowClient, settings: TrackingSettings, *, local: bool
) -> Experiment | None:
    """Return the experiment for new runs; None if MLflow's own variables already name it."""
    if "MLFLOW_RUN_ID" in os.environ or "MLFLOW_EXPERIMENT_ID" in os.environ:
        # `mlflow run --experiment-name` overrides an exported name; MLflow refuses to have both.
        os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
        if database(mlflow.get_tracking_uri()) is None:
            return None
        if (run := os.environ.get("MLFLOW_RUN_ID")) is not None:
            return client.get_experiment(client.get_run(run).info.experiment_id)
        return client.get_experiment(os.environ["MLFLOW_EXPERIMENT_ID"])
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", settings.experiment)
    if local and client.get_experiment_by_name(name) is None:
        place = str(PROJECT / settings.artifacts)
        client.create_experiment(name, artifact_location=place, tags=_note("runs"))
    return mlflow.set_experiment(name)


def beside(client: MlflowClient, experiment_id: str, what: str) -> str:
    """Return the experiment for runs that are not compared with an experiment's own runs.

    It is named after the experiment, and created if it does not exist.

    Args:
        client: of the store.
        experiment_id: of the experiment whose runs are compared.
        what: `TRIALS` or `SESSIONS`.
    """
    compared = client.get_experiment(experiment_id)
    name = f"{compared.name}-{what}"
    if (found := client.get_experiment_by_name(name)) is not None:
        return str(found.experiment_id)
    try:
        kept = f"{compared.artifact_location.rstrip('/')}/{what}"
        return str(client.create_experiment(name, artifact_location=kept, tags=_note(what)))
    except MlflowException:
        if (found := client.get_experiment_by_name(name)) is None:
            raise
        return str(found.experiment_id)  # another process was faster


def _note(what: str) -> dict[str, str]:
    return {NOTE_TAG: NOTES[what]}


def family(client: MlflowClient, experiment_id: str) -> list[str]:
    """Return the ids of an experiment and of those that belong to it."""
    name = client.get_experiment(experiment_id).name
    found = [client.get_experiment_by_name(f"{name}-{what}") for what in (TRIALS, SESSIONS)]
    return [experiment_id, *(one.experiment_id for one in found if one is not None)]


def compared_experiments(client: MlflowClient, settings: TrackingSettings) -> list[Experiment]:
    """Return the experiments with runs to compare, marked so that MLflow opens them on runs.

    These are the settings' own, and `Default`, where plain `mlflow run` opens runs, if it has any.
    """
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", settings.experiment)
    found = [client.get_experiment_by_name(one) for one in dict.fromkeys((name, "Default"))]
    used = [one for one in found if one and client.search_runs([one.experiment_id], max_results=1)]
    for experiment in used:
        client.set_experiment_tag(experiment.experiment_id, *_COMPARED)
    return used


@contextmanager
def _first_use(store: Path | None) -> Iterator[None]:
    """Let one process at a time create an SQLite store and its experiment; MLflow has no lock.

    A store appears whole: MLflow goes on with no store whose making was cut short.
    """
    if store is None:
        yield
        return
    _check_file(store)
    store.parent.mkdir(parents=True, exist_ok=True)
    with store.with_name(f"{store.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not store.exists():
            with atomic_path(store) as part:
                MlflowClient(f"{_RELATIVE_SQLITE}{part}")
        yield


def _check_file(store: Path) -> None:
    """Check that an SQLite store is a file of SQLite, or may become one.

    Raises:
        ValueError: with what there is instead, which MLflow would try again and again to open.
    """
    above = next(folder for folder in store.parents if folder.exists())
    if store.is_dir() or not above.is_dir():
        what = f"{store} is a folder" if store.is_dir() else f"{above} is no folder"
        raise ValueError(f"tracking.uri: a file of SQLite was expected at {store}, and {what}")
    if store.is_file() and store.stat().st_size:
        with store.open("rb") as opened:
            if opened.read(len(_SQLITE)) != _SQLITE:
                raise ValueError(f"tracking.uri: {store} is no SQLite database")


def in_project(path: Path) -> str:
    """Return a path relative to the project if it lies inside, so that it survives a move.

    `PROJECT / name` is the full path.
    """
    place = path.resolve()
    return str(place.relative_to(PROJECT) if place.is_relative_to(PROJECT) else place)


def store_uri(settings: TrackingSettings) -> str:
    """Return the store's URI: `MLFLOW_TRACKING_URI` if set, else that of the settings."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _absolute(settings.uri)


def _absolute(uri: str) -> str:
    """Resolve a relative SQLite file against the project's folder."""
    if not uri.startswith(_RELATIVE_SQLITE) or uri.startswith("sqlite:////"):
        return uri
    return f"{_RELATIVE_SQLITE}{PROJECT / uri.removeprefix(_RELATIVE_SQLITE)}"
