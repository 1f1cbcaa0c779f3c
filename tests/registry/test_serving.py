"""The chain behind MLflow's own scoring server, as the README starts it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from quantgod.contracts import FEATURES
from quantgod.registry.versions import load_chain
from tests.registry.conftest import GOLDEN, NAME, WINDOW, Parts, Store, tracked
from tests.servers import Server, free_port, module_server

POISON = "raise RuntimeError('a server must not need this module')\n"


@pytest.fixture(scope="module")
def running(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`mlflow models serve` where importing torch or quantgod is an error."""
    folder = tmp_path_factory.mktemp("server")
    for name in ("torch", "quantgod"):
        (folder / "poison").mkdir(exist_ok=True)
        (folder / "poison" / f"{name}.py").write_text(POISON)
    environment = {
        "MLFLOW_TRACKING_URI": registered.uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PYTHONPATH": str(folder / "poison"),
    }
    with tracked(registered.uri):
        MlflowClient().set_registered_model_alias(NAME, "Served", str(registered.number))
    port = free_port()
    arguments = (
        "mlflow",
        "models",
        "serve",
        "-m",
        f"models:/{NAME}@Served",
        "--env-manager",
        "local",
    )
    place = {"port": port, "health": "/ping", "folder": folder, "environment": environment}
    with module_server(*arguments, **place) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[HTTPConnection]:
    place = running.address.removeprefix("http://")
    with closing(HTTPConnection(place, timeout=60)) as connection:
        yield connection


@pytest.fixture
def body(parts: Parts) -> dict[str, Any]:
    text = (parts.package.folder / "golden_input.json").read_text(encoding="utf-8")
    rows: dict[str, Any] = json.loads(text)["dataframe_split"]
    return rows


def post(server: HTTPConnection, rows: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    server.request(
        "POST",
        "/invocations",
        json.dumps({"dataframe_split": rows}),
        {"Content-Type": "application/json"},
    )
    answer = server.getresponse()
    return answer.status, json.loads(answer.read())


def post_once(running: Server, rows: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    place = running.address.removeprefix("http://")
    with closing(HTTPConnection(place, timeout=60)) as connection:
        return post(connection, rows)


def test_a_server_says_what_the_chain_says_in_process(
    server: HTTPConnection, store: Store, parts: Parts, body: dict[str, Any]
) -> None:
    status, answer = post(server, body)
    assert status == 200
    said = pd.DataFrame(answer["predictions"])
    rows = parts.bars[list(FEATURES)].iloc[-GOLDEN:].reset_index()
    expected = load_chain(NAME, store.number).predict(rows)
    assert list(said.columns) == list(expected.columns)
    assert (pd.to_datetime(said["datetime"]) == expected["datetime"]).all()
    assert said["signal"].tolist() == expected["signal"].tolist()
    numbers = expected.select_dtypes("number").columns
    assert np.abs(said[numbers] - expected[numbers]).to_numpy().max() < 1e-9


def test_what_a_caller_may_vary_changes_nothing(
    server: HTTPConnection, body: dict[str, Any]
) -> None:
    _, expected = post(server, body)
    columns = [*reversed(body["columns"]), "close"]
    data = [[*reversed(row), 1] for row in body["data"]]
    for row in data:
        row[-2] = row[-2].removesuffix("Z")
    status, answer = post(server, {"columns": columns, "data": data})
    assert (status, answer) == (200, expected)


def test_callers_side_by_side_get_what_each_would_get_alone(
    running: Server, server: HTTPConnection, body: dict[str, Any]
) -> None:
    asked = [{**body, "data": body["data"][at : at + WINDOW + at]} for at in range(6)]
    expected = [post(server, rows) for rows in asked]
    with ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(lambda rows: post_once(running, rows), asked * 3))
    assert answers == expected * 3


def too_few(body: dict[str, Any]) -> None:
    del body["data"][WINDOW - 1 :]


def a_hole(body: dict[str, Any]) -> None:
    del body["data"][10:20]


def a_null(body: dict[str, Any]) -> None:
    body["data"][20][3] = None


def a_text(body: dict[str, Any]) -> None:
    body["data"][20][3] = "much"


def no_feature(body: dict[str, Any]) -> None:
    body["columns"][3] = "something"


def a_column_of_true(body: dict[str, Any]) -> None:
    for row in body["data"]:
        row[3] = True


def a_column_twice(body: dict[str, Any]) -> None:
    body["columns"].append("lower_wick")
    for row in body["data"]:
        row.append(0.1)


@pytest.mark.parametrize(
    ("spoil", "code", "reason"),
    [
        (too_few, "too_few_rows", "719 rows given, at least 720 are needed"),
        (a_hole, "hole", "10 minutes absent"),
        (
            a_null,
            "not_finite",
            "row 20 (2024-01-01T03:57:00Z): lower_wick is null or NaN, a number",
        ),
        (a_text, "bad_dtype", "row 20 (2024-01-01T03:57:00Z): lower_wick is 'much', a number of"),
        (no_feature, "missing_column", "lower_wick not given"),
        (a_column_of_true, "bad_dtype", "row 0 (2024-01-01T03:37:00Z): lower_wick is True"),
        (a_column_twice, "duplicate_column", "lower_wick given twice"),
    ],
)
def test_rows_that_cannot_be_judged_come_back_as_400_with_the_reason(
    server: HTTPConnection, body: dict[str, Any], spoil: Any, code: str, reason: str
) -> None:
    spoil(body)
    status, answer = post(server, body)
    assert status == 400
    assert answer["code"] == code
    assert reason in answer["reason"]
    assert answer["message"] == f"{code}: {answer['reason']}", "and not the posted rows"


@pytest.mark.skipif(sys.platform != "linux", reason="reads what a process computed from /proc")
def test_one_minute_costs_at_most_60_ms_and_sixty_four_five_times_that(
    running: Server, server: HTTPConnection, body: dict[str, Any]
) -> None:
    """Measured in what the server computes, in one thread: on an idle machine that is the time."""
    cost = {}
    for minutes in (1, GOLDEN - WINDOW + 1):
        rows = {**body, "data": body["data"][: WINDOW - 1 + minutes]}
        before = running.cpu_seconds()
        for _ in range(15):
            status, answer = post(server, rows)
            assert (status, len(answer["predictions"])) == (200, minutes)
        cost[minutes] = (running.cpu_seconds() - before) / 15
    assert cost[1] <= 0.060
    assert cost[64] <= 5 * cost[1]
