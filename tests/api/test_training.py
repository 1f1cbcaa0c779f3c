"""Training through the API: what is started, how far it is, and how it ended."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from quantgod.api.desk import Desk
from quantgod.api.jobs import Jobs
from quantgod.api.routes import training as routes
from quantgod.api.training import training_command
from quantgod.settings import load_settings, with_values
from quantgod.tracking.orphans import PROCESS_TAG
from quantgod.tracking.stage import STAGE_TAG
from tests.api.serving import Served, served
from tests.later import later
from tests.registry.shelves import Shelf

START, STATUS, CANCEL = (f"/api/ensemble/training/{name}" for name in ("start", "status", "cancel"))
BODY = {"architecture": "tcn_lstm", "symbol": "BTCUSDT", "epochs": 4, "batch_size": 32}
SLEEPS = "import sys, time; time.sleep(60)"
ENDS = "print('Error: it is out of memory')"


@pytest.fixture
def trains(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for `steps.train`: the code that a training is."""
    code = [SLEEPS]

    def command(_desk: Desk, _asked: dict[str, Any]) -> list[str]:
        return [sys.executable, "-c", code[0]]

    monkeypatch.setattr(routes, "training_command", command)
    return code


def tell_the_store(api: Served, status: str = "") -> None:
    """Do in the store what a training does."""
    job, client = Jobs(api.settings.manage.folder).last(), MlflowClient()
    assert job is not None
    tags = {PROCESS_TAG: job.process, STAGE_TAG: "train"}
    run = client.create_run("0", tags=tags).info.run_id
    client.log_param(run, "train.epochs", 4)
    for epoch, loss in ((0, 0.3), (1, 0.2), (2, 0.25), (2, 0.25)):
        client.log_metric(run, "validation_loss", loss, step=epoch)
    if status:
        client.set_terminated(run, status)


def told(api: Served, seconds: float = 60, **wanted: Any) -> dict[str, Any]:
    """The status, once it is as wanted."""
    end = time.monotonic() + seconds
    while True:
        said: dict[str, Any] = api.get(STATUS).json()
        if {name: said[name] for name in wanted} == wanted:
            return said
        assert time.monotonic() < end, said
        time.sleep(0.1)


def test_nothing_was_trained_yet(api: Served) -> None:
    said = api.get(STATUS).json()
    assert (said["is_training"], said["state"], said["job"]) == (False, "none", None)
    assert api.post(CANCEL, {}).status_code == 409


def test_it_tells_how_far_it_is_and_ends_when_it_is_cancelled(
    api: Served, trains: list[str]
) -> None:
    begun = api.post(START, BODY, Idempotency_Key="a")
    assert begun.status_code == 202 and begun.json()["is_training"]
    tell_the_store(api)
    said = told(api, current_epoch=3)
    assert (said["total_epochs"], said["current_loss"], said["best_loss"]) == (4, 0.25, 0.2)
    assert (said["architecture"], said["progress_percent"]) == ("tcn_lstm", 75.0)
    again = api.post(START, BODY, Idempotency_Key="a")
    assert again.status_code == 202 and again.json()["job"] == said["job"]
    other = api.post(START, BODY | {"epochs": 5}, Idempotency_Key="a")
    assert other.json()["fields"][0]["field"] == "header.idempotency-key"
    assert other.status_code == 422
    second = api.post(START, BODY)
    assert second.status_code == 409 and second.json()["code"] == "not_now"
    assert api.post(CANCEL, {}).status_code == 202
    said = told(api, state="cancelled")
    assert not said["is_training"] and said["reason"] is None and said["progress_percent"] == 75.0


def test_it_tells_how_it_ended_also_to_a_server_that_started_later(
    shelf: Shelf, tmp_path: Path, trains: list[str]
) -> None:
    trains[:] = [ENDS]
    with served(tmp_path) as api:
        api.post(START, BODY)
        said = told(api, state="failed")
        assert said["reason"] == "Error: it is out of memory" and said["run_id"] is None
        tell_the_store(api, "FINISHED")
        assert told(api, state="finished")["progress_percent"] == 100.0
    with served(tmp_path) as api:
        assert api.get(STATUS).json()["state"] == "finished"
        api.post(START, BODY)
        told(api, is_training=False)
        tell_the_store(api, "KILLED")
        assert api.get(STATUS).json()["state"] == "cancelled"


@pytest.mark.long
def test_a_network_is_trained_by_the_step_itself(shelf: Shelf, tmp_path: Path) -> None:
    with served(tmp_path, "tests/end_to_end/tiny.yaml") as api:
        api.post(START, BODY | {"architecture": "nosuch"})
        said = told(api, 200, state="failed")
        assert "model.name: " in said["reason"] and "nosuch" in said["reason"]
        assert said["run_id"] is None
        api.post(START, BODY | {"epochs": 2})
        said = told(api, 400, is_training=False)
        assert (said["state"], said["current_epoch"], said["total_epochs"]) == ("finished", 2, 2)
        assert 0 < said["best_loss"] <= said["current_loss"]
        run = MlflowClient().get_run(said["run_id"])
        assert run.data.params["train.batch_size"] == "32"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"architecture": "--help"}, "body.architecture"),
        ({"architecture": "linear", "epochs": 0}, "body.epochs"),
        ({"architecture": "linear", "symbol": "NOPE"}, "body.symbol"),
        *later(
            ({}, "body.architecture"), ({"architecture": "a;b=c"}, "body.architecture"),
            ({"architecture": "linear", "symbol": "BTC;x=1"}, "body.symbol"),
            ({"architecture": "linear", "batch_size": "32"}, "body.batch_size"),
            ({"architecture": "linear", "device": "cuda"}, "body.device"),
        ),
    ],
)  # fmt: skip
def test_a_request_of_another_form_starts_nothing(
    body: dict[str, Any], field: str, api: Served
) -> None:
    answer = api.post(START, body)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == [field]
    assert api.get(STATUS).json()["state"] == "none"


def test_another_symbol_is_trained_where_its_data_are(api: Served, trains: list[str]) -> None:
    labels = with_values(api.settings, {"data.symbol": "ETHUSDT"}).data.own_labels
    labels.parent.mkdir(parents=True)
    labels.touch()
    trains[:] = ["pass"]
    assert api.post(START, BODY | {"symbol": "ETHUSDT"}).status_code == 202


def desk_of(config: str, folder: Path) -> Desk:
    path = Path(config)
    return Desk(load_settings(path), None, path, Jobs(folder))  # type: ignore[arg-type]


def test_the_command_is_that_of_a_user(tmp_path: Path) -> None:
    asked = {"architecture": "wide", "symbol": None, "epochs": None, "batch_size": 64}
    made = training_command(desk_of("conf/members.yaml", tmp_path), asked)
    file = str(Path("conf/members.yaml").resolve())
    step = [sys.executable, "-m", "steps.train", "--config", file]
    assert made == [*step, "--member", "wide", "--batch-size", "64"]
    demo = desk_of("conf/demo.yaml", tmp_path)
    own = training_command(demo, BODY)
    assert own[5:] == ["--epochs", "4", "--batch-size", "32", "--set", "data.symbol=BTCUSDT"]
    other = training_command(demo, asked | {"architecture": "linear", "batch_size": None})
    assert other[5:] == ["--set", "model.name=linear;model.params={}"]


def test_of_settings_with_members_one_of_them_is_trained(shelf: Shelf, tmp_path: Path) -> None:
    with served(tmp_path, members={"near": {}, "far": {"window": {"length": 90}}}) as api:
        answer = api.post(START, BODY)
        assert answer.status_code == 422
        assert answer.json()["reason"] == "body.architecture: one of the members near, far expected"
