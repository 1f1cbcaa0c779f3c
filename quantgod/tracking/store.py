"""Where runs are kept, and how long a call to the tracking server may take."""

from __future__ import annotations

import os
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from quantgod.settings import TrackingSettings

PROJECT = Path(__file__).resolve().parents[2]

# MLflow's own defaults block a caller for minutes when the server is away, draw progress bars for a
# file of a few bytes, and print a run's address each time a process leaves it.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_RELATIVE_SQLITE = "sqlite:///"


def be_brief(seconds: int = 2) -> None:
    """Let no call to the server take longer, for a process that must end within seconds.

    What cannot be delivered stays in the outbox. Call before `connect`, and again to be briefer.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(seconds)


def connect(settings: TrackingSettings) -> MlflowClient:
    """Point MLflow at the store and the experiment, and give a client of it.

    `MLFLOW_TRACKING_URI` and a run or experiment given by MLflow's own variables go before the
    settings. A new experiment of the default store gets an explicit, absolute artifact folder.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    local = "MLFLOW_TRACKING_URI" not in os.environ
    if local:
        mlflow.set_tracking_uri(_absolute(settings.uri))
    client = MlflowClient()
    if "MLFLOW_RUN_ID" in os.environ or "MLFLOW_EXPERIMENT_ID" in os.environ:
        # `mlflow run --experiment-name` goes before a name that was exported; MLflow refuses both.
        os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
        return client
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", settings.experiment)
    if local and client.get_experiment_by_name(name) is None:
        client.create_experiment(name, artifact_location=str(PROJECT / settings.artifacts))
    mlflow.set_experiment(name)
    return client


def _absolute(uri: str) -> str:
    """A relative SQLite file lies in the project's folder, wherever the command was called."""
    if not uri.startswith(_RELATIVE_SQLITE) or uri.startswith("sqlite:////"):
        return uri
    return f"{_RELATIVE_SQLITE}{PROJECT / uri.removeprefix(_RELATIVE_SQLITE)}"
