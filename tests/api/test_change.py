"""Weights, strategy and members that vote, changed over HTTP: what runs, and what is said of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from quantgod.api import change as changing
from quantgod.api.change import change_command
from quantgod.api.desk import Desk
from quantgod.api.jobs import Job, Jobs
from quantgod.registry.changing import EnsembleChange
from quantgod.settings import load_settings
from quantgod.tracking.orphans import PROCESS_TAG
from quantgod.tracking.stage import ERROR_TAG, HEADLINE_TAG, STAGE_TAG
from tests.api.serving import Served, served
from tests.api.test_ensemble import ensemble
from tests.later import later
from tests.registry.judging import FAILED, PASSED, judged
from tests.registry.shelves import NAME, Shelf

__all__ = ["ensemble"]

WEIGHT, ENABLE = "/api/ensemble/models/weight", "/api/ensemble/models/enable"
STRATEGY, STATUS = "/api/ensemble/strategy", "/api/ensemble/change"
CANCEL, TRAINING = f"{STATUS}/cancel", "/api/ensemble/training"
BODY = {"model_type": "near", "weight": 0.75}
LATER = {"Prefer": "wait=5, Respond-Async"}


@pytest.fixture
def changes(ensemble: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for `steps.change`: it ends once this file is there."""
    ends, asked = tmp_path / "ends", tmp_path / "asked"
    code = (
        "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(.01)"
    )

    def command(_desk: Desk, change: EnsembleChange, seen: str, reason: str | None) -> list[str]:
        asked.write_text(f"{change.in_words()}, {seen}, {reason}")
        return [sys.executable, "-c", code, str(ends)]

    monkeypatch.setattr(changing, "change_command", command)
    return ends


def job_of(api: Served) -> Job:
    """The job, once it has begun."""
    jobs, end = Jobs(api.settings.manage.folder).of("change"), time.monotonic() + 20
    while (job := jobs.last()) is None or not jobs.is_running(job):
        assert time.monotonic() < end, "nothing was started"
        time.sleep(0.02)
    return job


def tell_the_store(api: Served, failed: str = "", **tags: str) -> str:
    """Do in the store what a change does that has come to its evaluation; gives its run."""
    client = MlflowClient()
    process = {PROCESS_TAG: job_of(api).process, STAGE_TAG: "change", HEADLINE_TAG: "in words"}
    run = client.create_run("0", tags=process | tags).info.run_id
    output = {"name": NAME, "version": "3", "over": "2", "failed": failed}
    for stage, status in (("register", "FINISHED"), ("evaluate", "")):
        own = {MLFLOW_PARENT_RUN_ID: run, MLFLOW_RUN_NAME: f"{stage} BTCUSDT today"}
        child = client.create_run("0", tags=own).info.run_id
        client.log_dict(child, output, "output.json")
        if status:
            client.set_terminated(child, status)
    client.log_dict(run, output, "output.json")
    return str(run)


def answer_when_ended(api: Served, ends: Path, tell: Callable[[], None]) -> Any:
    """Ask for a change, let it end as told, and give the answer, which has waited for that."""
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(api.post, WEIGHT, BODY, If_Match=api.tag())
        job_of(api)
        tell()
        assert not waiting.done()
        ends.touch()
        return waiting.result(60)


def test_a_change_is_awaited_and_answered_with_what_is_in_place(
    api: Served, changes: Path, shelf: Shelf
) -> None:
    assert api.get(STATUS).json()["state"] == "none"

    def promoted() -> None:
        MlflowClient().set_terminated(tell_the_store(api), "FINISHED")
        shelf.put(3)

    seen = api.tag()
    answer = answer_when_ended(api, changes, promoted)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"version": 3, "over": 2, "said": "in words"}
    assert answer.headers["ETag"] == api.tag() != seen
    asked = (changes.parent / "asked").read_text()
    assert asked == f"weight of near 0.75, {seen.strip(chr(34))}, None"
    said = api.get(STATUS).json()
    assert (said["state"], said["version"], said["over"]) == ("promoted", 3, 2)
    assert said["change"] == "weight of near 0.75" and not said["is_changing"]


@pytest.mark.long
def test_gates_that_fail_are_named_with_figure_and_bound(
    api: Served, changes: Path, tmp_path: Path
) -> None:
    def refused() -> None:
        MlflowClient().set_terminated(tell_the_store(api, failed="ece"), "FINISHED")
        judged(tmp_path, 3, PASSED, FAILED)

    answer = answer_when_ended(api, changes, refused)
    assert answer.status_code == 409
    said = answer.json()
    assert (said["code"], said["failed"], said["version"]) == ("gates_failed", [FAILED.name], 3)
    (gate,) = said["gates"]
    assert (gate["figure"], gate["bound"]) == (FAILED.figure, FAILED.bound)
    assert api.get(STATUS).json()["state"] == "refused"
    assert api.get("/api/deployments").json()["version"] == 2


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ("LedgerWentOnError: it went on", 412, "ledger_went_on"),
        *later(
            ("StageFailed: audit: too few rows", 409, "change_failed"), ("", 409, "change_failed")
        ),
    ],
)
def test_a_change_that_fails_says_why(
    error: str, status: int, code: str, api: Served, changes: Path
) -> None:
    def failed() -> None:
        if error:
            MlflowClient().set_terminated(tell_the_store(api, **{ERROR_TAG: error}), "FAILED")

    answer = answer_when_ended(api, changes, failed)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    told = error.removeprefix("LedgerWentOnError: ") or "its process ended without a word"
    assert answer.json()["reason"] == told


@pytest.mark.long
def test_a_server_that_ends_says_that_the_change_goes_on(
    shelf: Shelf, changes: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor() as pool:
        with served(tmp_path) as api:
            waiting = pool.submit(api.post, WEIGHT, BODY, If_Match=api.tag())
            job_of(api)
        answer = waiting.result(20)
    assert answer.status_code == 202 and answer.json()["is_changing"]
    with served(tmp_path) as api:
        assert api.get(STATUS).json()["job"] == answer.json()["job"]
        changes.touch()


@pytest.mark.long
def test_who_does_not_want_to_wait_is_told_where_it_stands_and_may_cancel(
    api: Served, changes: Path
) -> None:
    begun = api.post(STRATEGY, {"strategy": "majority"}, If_Match=api.tag(), **LATER)
    assert begun.status_code == 202 and begun.headers["Location"] == STATUS
    assert begun.headers["Preference-Applied"] == "respond-async"
    assert (begun.json()["state"], begun.json()["stages"]) == ("running", [])
    run = tell_the_store(api)
    said = api.get(STATUS).json()
    assert said["is_changing"] and (said["run_id"], said["version"]) == (run, 3)
    assert [(one["stage"], one["state"]) for one in said["stages"]] == [
        ("audit", "unchanged"), ("register", "finished"), ("evaluate", "running"),
        ("backtest", "waiting"), ("leak_audit", "waiting"), ("gates", "waiting"),
    ]  # fmt: skip
    second = api.post(STRATEGY, {"strategy": "unanimous"}, If_Match=api.tag())
    assert second.status_code == 409 and second.json()["code"] == "not_now"
    training = api.post(f"{TRAINING}/start", {"architecture": "tcn_lstm"})
    assert training.status_code == 409, "one job at a time, of whichever kind"
    assert api.get(f"{TRAINING}/status").json()["state"] == "none"
    assert api.post(f"{TRAINING}/cancel", {}).status_code == 409, "there is none"
    assert api.post(CANCEL, {}).status_code == 202
    end = time.monotonic() + 20
    while api.get(STATUS).json()["state"] != "cancelled":
        assert time.monotonic() < end
        time.sleep(0.05)
    for store in ("RUNNING", "FAILED"):  # killed, or ended by the signal
        child = MlflowClient().search_runs(["0"], "attributes.run_name LIKE 'evaluate %'")[0]
        MlflowClient().update_run(child.info.run_id, store)
        states = [one["state"] for one in api.get(STATUS).json()["stages"]]
        assert states == ["unchanged", "finished", *["cancelled"] * 4]


def test_a_change_of_what_was_not_seen_starts_nothing(
    api: Served, changes: Path, shelf: Shelf
) -> None:
    assert api.post(WEIGHT, BODY).status_code == 428
    old = api.tag()
    shelf.put(1)
    shelf.put(2)
    answer = api.post(WEIGHT, BODY, If_Match=old)
    assert answer.status_code == 412 and answer.json()["code"] == "ledger_went_on"
    assert api.get(STATUS).json()["state"] == "none"


@pytest.mark.long
def test_reports_of_all_members_start_a_change_only_where_a_setting_says_so(
    shelf: Shelf, changes: Path, tmp_path: Path
) -> None:
    said = {"near": 0.75, "far": 0.5}
    reports = [
        {"model_type": one, "accuracy": to, "profit_factor": 1.5} for one, to in said.items()
    ]
    path = "/api/ensemble/performance/update"
    with served(tmp_path) as api:
        assert [api.post(path, one).json()["change"] for one in reports] == [None, None]
    with served(tmp_path, manage__performance_moves_weights=True) as api:
        shelf.put(1)
        shelf.put(2)
        answer = api.post(path, reports[0])
        assert answer.json()["change"] == api.get(STATUS).json()["job"]
        assert answer.json()["change"] is not None
        asked, head = (changes.parent / "asked").read_text(), shelf.ledger().head
        assert asked == f"weight of near 0.75; weight of far 0.5, {head}, accuracies were reported"
        again = api.post(path, reports[1] | {"accuracy": 0.6})
        assert again.status_code == 200 and again.json()["change"] is None, "one runs"
        changes.touch()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (WEIGHT, BODY | {"model_type": "nobody"}, "model_type"),
        (ENABLE, {"model_type": "off", "enabled": 1}, "enabled"),
        (STRATEGY, {"strategy": "best"}, "strategy"),
        *later(
            (WEIGHT, BODY | {"weight": -0.1}, "weight"), (WEIGHT, BODY | {"weight": "1"}, "weight"),
            (WEIGHT, BODY | {"reason": " \n"}, "reason"),
            (WEIGHT, BODY | {"reason": "a\0"}, "reason"),
            (ENABLE, {"model_type": "nobody", "enabled": True}, "model_type"),
            (STRATEGY, {}, "strategy"),
        ),
    ],
)  # fmt: skip
def test_a_change_of_another_form_is_refused_by_its_field(
    path: str, body: dict[str, Any], field: str, api: Served, changes: Path
) -> None:
    answer = api.post(path, body, If_Match=api.tag())
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == [f"body.{field}"]
    assert api.get(STATUS).json()["state"] == "none"


def test_what_would_change_nothing_is_refused(api: Served, changes: Path) -> None:
    for path, body in (
        (STRATEGY, {"strategy": "adaptive"}),
        (WEIGHT, BODY | {"weight": 1}),
        (ENABLE, {"model_type": "near", "enabled": True}),
    ):
        answer = api.post(path, body, If_Match=api.tag())
        assert answer.status_code == 409 and "nothing would change" in answer.json()["reason"]
    assert api.get(STATUS).json()["state"] == "none"


def test_the_command_is_that_of_a_user(tmp_path: Path) -> None:
    path = Path("conf/ensemble_demo.yaml")
    desk = Desk(load_settings(path), None, path, Jobs(tmp_path))  # type: ignore[arg-type]
    asked = EnsembleChange({"cnn": 0.1}, "adaptive", {"linear": True})
    made = change_command(desk, asked, "5e3d", "it is -- better")
    step = [sys.executable, "-m", "steps.change", "--config", str(path.resolve())]
    options = ["--weight=cnn=0.1", "--strategy=adaptive", "--enable=linear", "--seen=5e3d"]
    assert made == [*step, *options, "--reason=it is -- better"]
