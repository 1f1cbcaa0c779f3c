"""A served chain over HTTP: one window, and what 64 minutes cost beside it."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from http.client import HTTPConnection
from pathlib import Path

import mlflow
from mlflow import MlflowClient

from bench.goal import Figure
from quantgod.registry.package import GoldenRows, build_package
from quantgod.registry.versions import register
from quantgod.settings import load_settings
from tests.registry.conftest import tiny_auditor, tiny_network, tiny_reference
from tests.registry.shelves import SERIES
from tests.servers import Server, free_port, mlflow_server
from tests.synthetic import synthetic_bars

WINDOW, MINUTES, ASKED = 720, 64, 60
MOST_FOR_MANY = 5.0
MOST_MILLISECONDS = 60.0
NAME = "bench"

Log = Callable[[str], None]


def measure(log: Log) -> list[Figure]:
    """Median milliseconds of a request for one minute and for 64, with the demo's network."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log("registering a chain of the demo's size")
        rows = register_demo_chain(folder)
        log("serving it")
        with _served(folder) as server, closing(_connection(server)) as connection:
            one = _median(connection, {**rows, "data": rows["data"][:WINDOW]})
            many = _median(connection, {**rows, "data": rows["data"][: WINDOW + MINUTES - 1]})
    return [
        Figure("one window over HTTP, p50", one * 1e3, "ms", at_most=MOST_MILLISECONDS),
        Figure("64 minutes over HTTP, p50", many * 1e3, "ms"),
        Figure("64 minutes over one", many / one, "x", at_most=MOST_FOR_MANY),
    ]


def register_demo_chain(folder: Path) -> dict[str, list[list[object]]]:
    """Register a chain of the demo's size in a store in `folder`; gives its golden rows."""
    uri = f"sqlite:///{folder}/mlflow.db"
    os.environ["MLFLOW_TRACKING_URI"] = uri
    mlflow.set_tracking_uri(uri)
    bars = synthetic_bars(1_000, seed=3, signal=0.6)
    tiny_auditor().save(folder / "auditor")
    bridge = load_settings(Path("conf/demo.yaml")).etl.max_bridge_minutes
    golden = GoldenRows(bars, WINDOW + MINUTES - 1, bridge)
    parts = tiny_network(bars), folder / "auditor", golden, tiny_reference(bars), SERIES
    package = build_package(folder / "package", *parts)
    artifacts = str(folder / "artifacts")
    experiment = MlflowClient().create_experiment(NAME, artifact_location=artifacts)
    with mlflow.start_run(experiment_id=experiment):
        register(package, NAME, {})
    text = (package.folder / "golden_input.json").read_text(encoding="utf-8")
    rows: dict[str, list[list[object]]] = json.loads(text)["dataframe_split"]
    return rows


def _served(folder: Path) -> AbstractContextManager[Server]:
    arguments = ("models", "serve", "-m", f"models:/{NAME}/1", "--env-manager", "local")
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    return mlflow_server(
        *arguments, port=free_port(), health="/ping", folder=folder, environment=environment
    )


def _connection(server: Server) -> HTTPConnection:
    return HTTPConnection(server.address.removeprefix("http://"), timeout=60)


def _median(connection: HTTPConnection, rows: dict[str, list[list[object]]]) -> float:
    body = json.dumps({"dataframe_split": rows})
    seconds = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - begun)
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
    return statistics.median(seconds)
