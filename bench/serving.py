"""A version over HTTP as `steps.serve` serves it: one window, and what 64 minutes cost beside it.

The floor is the same version behind the least that speaks HTTP (`bench.bare_server`), in a process
of its own and asked with the same bodies: an exchange, JSON read and written, and the prediction.
What is beyond it is the door's check of the body and MLflow's scoring server. They should not cost
half of an answer again. Requests take turns, and of each kind the median counts: where processes
wait for each other, the best turn is one that was lucky.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient

from bench.goal import Figure, Log, said
from bench.turns import in_turns
from quantgod.registry.package import GoldenRows, build_package
from quantgod.registry.versions import load_chain, register
from quantgod.settings import load_settings
from tests.registry.conftest import tiny_auditor, tiny_network, tiny_reference
from tests.registry.shelves import SERIES
from tests.servers import Server, free_port, module_server
from tests.synthetic import synthetic_bars

WINDOW, MINUTES, ASKED = 720, 64, 60
MOST_OF_FLOOR = 1.5
MOST_FOR_MANY = 5.0
NAME = "bench"

Rows = dict[str, Any]
"""`columns` and `data`, as `dataframe_split` has them."""


def measure(log: Log) -> list[Figure]:
    """Ask for one minute and for 64 of the demo's network, and a bare server for the same."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        log("registering a chain of the demo's size")
        rows = register_demo_chain(folder)
        log("serving it")
        served = stack.enter_context(_served("steps.serve", folder))
        bare = stack.enter_context(_served("bench.bare_server", folder))
        log(f"asking {ASKED} times each way")
        one, many = ({**rows, "data": rows["data"][: WINDOW + more]} for more in (0, MINUTES - 1))
        alone = partial(load_chain(NAME, 1).predict, pd.DataFrame(**one))
        asked = [partial(_post, place, body) for place in (served, bare) for body in (one, many)]
        return _figures(in_turns([*asked, alone], ASKED, time.perf_counter))


def _figures(turns: list[list[float]]) -> list[Figure]:
    one, many, bare_one, bare_many, alone = (statistics.median(seconds) for seconds in turns)
    return [
        Figure("one window in process", alone * 1e3, "ms"),
        Figure("one window over HTTP, a bare server", bare_one * 1e3, "ms"),
        Figure(
            "one window over HTTP, over a bare server",
            one / bare_one,
            "x",
            at_most=MOST_OF_FLOOR,
            here=said(one * 1e3, "ms"),
        ),
        Figure(
            "64 minutes over HTTP, over a bare server",
            many / bare_many,
            "x",
            at_most=MOST_OF_FLOOR,
            here=said(many * 1e3, "ms"),
        ),
        Figure("64 minutes over one", many / one, "x", at_most=MOST_FOR_MANY),
    ]


def register_demo_chain(folder: Path) -> Rows:
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
    rows: Rows = json.loads(text)["dataframe_split"]
    return rows


def _served(module: str, folder: Path) -> AbstractContextManager[Server]:
    """The version, served by this module."""
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PYTHONPATH": str(Path.cwd()),
    }
    return module_server(
        module,
        *("--model", f"{NAME}/1"),
        port=free_port(),
        health="/ping",
        folder=folder,
        environment=environment,
    )


def _post(server: Server, rows: Rows) -> None:
    """Ask on a connection of its own: a server gives up one that was silent for long."""
    body = json.dumps({"dataframe_split": rows})
    with closing(HTTPConnection(server.address.removeprefix("http://"), timeout=60)) as connection:
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {content[:200]!r}")
