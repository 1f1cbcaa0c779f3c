"""What is in place, promotion and rollback: the same rules, gates and ledger as the steps have."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import steps.deployments
from quantgod.api.recent import KEPT_SECONDS
from quantgod.gates import bounds_digest
from quantgod.registry.gate_tags import VERDICT_TAG
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.registered import known_version
from quantgod.registry.verdict import REPORT_TAG
from tests.api.serving import Served, served
from tests.later import later
from tests.registry.conftest import Store
from tests.registry.judging import FAILED, PASSED, judged
from tests.registry.shelves import ALIAS, NAME, Shelf
from tests.registry.test_promote_command import settings as own_settings

__all__ = ["own_settings"]

PROMOTE, ROLLBACK = "/api/deployments/promote", "/api/deployments/rollback"


def test_nothing_was_deployed_yet(api: Served) -> None:
    assert api.get("/api/deployments").json() == {
        "model": NAME, "alias": ALIAS, "version": None, "deployments": [], "under_way": None,
        "trouble": "",
    }  # fmt: skip
    assert MlflowClient().get_experiment_by_name("deployments") is None, "nothing is written"


def test_the_history_is_what_the_step_tells(api: Served, shelf: Shelf) -> None:
    shelf.put(1, why="the first", by="one person")
    shelf.put(2, why="it is better", by="another")
    told = api.get("/api/deployments").json()
    said = CliRunner().invoke(steps.deployments.main, ["--name", NAME, "--json"])
    rows = json.loads(said.stdout)
    assert [row["why"] for row in rows] == ["the first", "it is better"]
    assert [{"since": row.pop("from"), **row} for row in rows] == told["deployments"]
    assert told["version"] == 2 and told["trouble"] == ""
    before = api.tag()
    shelf.point(3)
    time.sleep(KEPT_SECONDS)  # what others change is told by then
    moved = api.get("/api/deployments")
    assert moved.headers["ETag"] == before, "the ledger is as it was"
    assert "Production names version 3, its ledger says version 2" in moved.json()["trouble"]


def test_a_change_of_what_was_not_seen_is_refused_and_changes_nothing(
    api: Served, shelf: Shelf
) -> None:
    shelf.put(1)
    old = api.tag()
    shelf.put(2)
    assert api.post(ROLLBACK, {}).status_code == 428
    for tag in (old, "*", '""', "x"):
        answer = api.post(ROLLBACK, {}, If_Match=tag)
        assert answer.status_code == 412 and answer.json()["code"] == "ledger_went_on"
    assert shelf.ledger().in_place == 2
    entries = len(shelf.ledger().entries)
    answer = api.post(ROLLBACK, {"reason": "it lost money"}, If_Match=api.tag())
    assert answer.json()["version"] == 1 and answer.json()["over"] == 2
    assert answer.headers["ETag"] == api.tag() != old
    kinds = shelf.ledger().entries[entries:]
    assert [(entry.kind, entry.why) for entry in kinds] == [
        ("rollback", "it lost money"),
        ("done", ""),
    ]
    assert api.get("/api/deployments").json()["deployments"][-1]["how"] == "rolled back"


def test_what_cannot_be_rolled_back_is_told(api: Served, shelf: Shelf) -> None:
    shelf.put(1)
    for body in ({}, {"version": 1}, {"version": 3}):
        answer = api.post(ROLLBACK, body, If_Match=api.tag())
        assert answer.status_code == 409 and answer.json()["failed"] == []
        assert "--" not in answer.json()["reason"], "an option is nothing that a program can send"
    answer = api.post(ROLLBACK, {"version": 7}, If_Match=api.tag())
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_version")
    assert "there is no such version, versions are 1, 2, 3, 4" in answer.json()["reason"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{", ["body"]), ({"version": "1"}, ["body.version"]),
        ({"version": 1, "force": True}, ["body.reason"]),
        ({"version": 2**63, "reason": ""}, ["body.version", "body.reason"]),
        *later(
            (b"\xff", ["body"]), (b"", ["body"]), ({}, ["body.version"]), ([], ["body"]),
            ({"version": 1.5}, ["body.version"]), ({"version": True}, ["body.version"]),
            ({"version": 0}, ["body.version"]), ({"version": 1, "alias": "x"}, ["body.alias"]),
            ({"version": 1, "force": "yes"}, ["body.force"]),
            ({"version": 1, "force": True, "reason": " "}, ["body.reason"]),
        ),
    ],
)  # fmt: skip
def test_a_body_of_another_form_is_refused_by_its_fields(
    body: object, fields: list[str], api: Served
) -> None:
    answer = api.post(PROMOTE, body, If_Match="x")
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == fields


def test_what_was_expected_is_told_in_words(api: Served) -> None:
    for body, told in (
        (b'{"version": 1,}', "JSON expected, at character 14: "),
        ([], "a JSON object expected"),
        ({"version": True}, "a whole number expected"),
        ({"version": 1, "reason": ""}, "a text that is not blank, "),
    ):
        (field,) = api.post(PROMOTE, body, If_Match="x").json()["fields"]
        assert field["problem"].startswith(told)


@pytest.mark.long
def test_a_version_is_promoted_by_its_own_gates_alone(
    store: Store, own_settings: None, tmp_path: Path
) -> None:
    """On the demo's own settings, which version 1 keeps as it was made with."""
    with served(tmp_path, registry__alias="Managed") as api:
        tag = api.tag()
        answer = api.post(PROMOTE, {"version": 1}, If_Match=tag)
        assert answer.status_code == 409
        assert answer.json()["reason"] == f"{NAME} 1 has not been judged: run gates"
        bounds = bounds_digest(api.settings.gates)
        try:
            judged(tmp_path, 1, PASSED, FAILED, bounds=bounds)
            answer = api.post(PROMOTE, {"version": 1}, If_Match=tag)
            assert answer.status_code == 409
            assert (answer.json()["code"], answer.json()["failed"]) == ("gates_failed", ["ece"])
            verdict = api.get("/api/versions/1/gates").json()
            assert verdict["failed"] == ["ece"] and not verdict["passed"]
            assert [one["verdict"] for one in verdict["gates"]] == ["pass", "FAIL"]
            assert api.tag() == tag, "nothing was changed"
            judged(tmp_path, 1, PASSED, bounds=bounds)
            answer = api.post(PROMOTE, {"version": 1, "reason": "it is better"}, If_Match=tag)
            assert answer.status_code == 200, answer.text
        finally:
            MlflowClient().delete_model_version_tag(NAME, "1", REPORT_TAG)
        assert answer.json()["said"].startswith(
            f"{NAME} 1 is Managed over no version: gates passed"
        )
        (opened, done) = LedgerRun(MlflowClient(), NAME, "Managed").read().entries
        assert (opened.kind, opened.why, done.kind) == ("promotion", "it is better", "done")
        assert MlflowClient().get_model_version_by_alias(NAME, "Managed").version == 1
        assert answer.headers["ETag"] == api.tag()


def test_versions_are_listed_with_what_the_gates_said(api: Served, shelf: Shelf) -> None:
    MlflowClient().set_model_version_tag(NAME, "2", VERDICT_TAG, "failed: mcc")
    listed = api.get("/api/versions").json()
    assert [one["version"] for one in listed] == [1, 2, 3, 4]
    assert [one["gates"] for one in listed] == [None, "failed: mcc", None, None]
    created = known_version(MlflowClient(), NAME, 2).creation_timestamp
    assert listed[1]["created"].startswith("20") and created
    assert api.get("/api/versions/9/gates").status_code == 404
    assert api.get("/api/versions/x/gates").json()["fields"][0]["field"] == "path.version"
    assert (
        api.get("/api/versions/3/gates").json()["reason"]
        == f"{NAME} 3 has not been judged: run gates"
    )
