"""The ensemble in place and its members, as document 001 asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantgod.api import members, previews
from quantgod.api.performance import PERFORMANCE_FILE, last_reported
from quantgod.api.previews import PREVIEWS_FILE
from quantgod.evaluation.intervals import Interval
from quantgod.live.journal import Journal
from quantgod.registry import switching
from quantgod.registry.preview import PreviewResult, Side, WhatIf
from quantgod.served.combiners.combiner import Combiner
from tests.api.serving import Served, settings_in
from tests.api.test_signals import FIRST, journal, voted
from tests.later import later
from tests.registry.shelves import Shelf

__all__ = ["journal"]

COMBINER = Combiner(("near", "far"), "weighted_voting", (0.5, 0.25))
UPDATE = "/api/ensemble/performance/update"
ENABLE = "/api/ensemble/models/enable"
PREVIEW = "/api/ensemble/preview"
SAID = {"model_type": "near", "accuracy": 0.73, "profit_factor": 1.95}


@pytest.fixture
def ensemble(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 2 holds two members, of three that its settings have; one of them was scored."""
    shelf.put(2)
    three = {"near": {}, "far": {"window": {"length": 90}}, "off": {}}
    how = {"strategy": "adaptive", "disabled": ["off"]}
    own = settings_in(tmp_path, members=three, ensemble=how, evaluate__stride=3)
    for module in (members, switching):
        monkeypatch.setattr(module, "combiner_of", lambda found: COMBINER)
    monkeypatch.setattr(members, "own_settings", lambda found: own)
    score = {"near": {"accuracy": Interval(0.72, 0.7, 0.74)}}
    monkeypatch.setattr(members, "scores_of", lambda found: score)


def test_the_status_is_that_of_document_001(api: Served, ensemble: None, journal: Journal) -> None:
    said: dict[str, Any] = api.get("/api/ensemble/status").json()
    last = said.pop("last_prediction")
    assert said == {
        "version": 2,
        "strategy": "adaptive",
        "total_models": 3,
        "enabled_models": 2,
        "models": {
            "near": {
                "enabled": True,
                "weight": 0.5,
                "weight_now": 9.25,
                "accuracy": 0.72,
                "disabled": None,
            },
            "far": {
                "enabled": True,
                "weight": 0.25,
                "weight_now": 0.75,
                "accuracy": None,
                "disabled": None,
            },
            "off": {
                "enabled": False,
                "weight": None,
                "weight_now": None,
                "accuracy": None,
                "disabled": None,
            },
        },
    }
    assert (last["role"], last["datetime"]) == ("Production", "2025-02-19T21:29:00Z")


def test_the_weight_now_is_that_of_the_version_in_place_in_production(
    api: Served, ensemble: None, journal: Journal
) -> None:
    journal.append_now("VOTES", voted(FIRST + 10, version=3)).result(10)
    journal.append_now("VOTES", voted(FIRST + 11, role="Challenger")).result(10)
    near, *_ = api.get("/api/ensemble/models").json()
    assert near["weight_now"] == 9.25


def test_without_a_live_session_there_is_no_last_prediction(api: Served, ensemble: None) -> None:
    assert api.get("/api/ensemble/status").json()["last_prediction"] is None


def test_members_are_listed_with_all_that_is_known_of_them(api: Served, ensemble: None) -> None:
    near, far, off = api.get("/api/ensemble/models").json()
    assert [one["model_type"] for one in (near, far, off)] == ["near", "far", "off"]
    assert (far["window"], far["network"], far["min_confidence"]) == (90, "tcn_lstm", 0.0)
    assert near["weight_at_registration"] == 0.5 and near["reported"] is None
    assert near["weight_now"] is None, "no live session has heard it"
    assert off["weight_at_registration"] is None


def test_a_reported_performance_is_kept_and_shown_and_moves_no_weight(
    api: Served, ensemble: None, tmp_path: Path
) -> None:
    before = api.get("/api/ensemble/status").json()
    for accuracy in (0.5, 0.73):
        answer = api.post(UPDATE, SAID | {"accuracy": accuracy})
        assert answer.status_code == 200 and answer.json()["version"] == 2
    near, far, _ = api.get("/api/ensemble/models").json()
    assert {name: near["reported"][name] for name in SAID} == SAID, "the last one"
    assert far["reported"] is None
    assert api.get("/api/ensemble/status").json() == before
    path = tmp_path / "own" / PERFORMANCE_FILE
    assert len(path.read_text().splitlines()) == 2 and path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as cut:
        cut.write('{"model_type": "far", "accu')
    assert list(last_reported(path.parent)) == ["near"]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[WhatIf]:
    """What was made a preview of; what is kept of a version is another test's."""
    made: list[WhatIf] = []

    def preview(_: object, asked: WhatIf) -> PreviewResult:
        made.append(asked)
        score = dict.fromkeys(("log_loss", "macro_f1", "accuracy"), Interval(0.5, 0.4, 0.6))
        side = Side(scores=score, answered=1.0)
        none = Side(scores={}, answered=0.0)
        return PreviewResult(now=side, changed=none, differences={}, rows=9, effective_rows=3.5)

    monkeypatch.setattr(previews, "kept_of", lambda *_: None)
    monkeypatch.setattr(previews, "preview", preview)
    return made


def test_a_preview_is_made_once_and_looks_are_counted(
    api: Served, ensemble: None, looked: list[WhatIf], tmp_path: Path
) -> None:
    body = {"strategy": "majority", "weights": {"near": 1}, "disabled": ["far", "far"]}
    before = api.tag()
    said = api.post(PREVIEW, body).json()
    assert (said["version"], said["rows"], said["looks"]) == (2, 9, 1)
    assert said["now"]["log_loss"] == {"value": 0.5, "low": 0.4, "high": 0.6, "enough": True,
                                       "why": ""}  # fmt: skip
    assert (said["changed"]["accuracy"], said["changed"]["answered"]) == (None, 0.0)
    assert "1 different changes" in said["said"] and "Only the gates decide." in said["said"]
    assert api.post(PREVIEW, body).json() == said, "kept, and counted once"
    assert api.post(PREVIEW, {"disabled": ["near"]}).json()["looks"] == 2
    assert looked == [
        WhatIf(strategy="majority", weights={"near": 1.0}, disabled=("far",)),
        WhatIf(disabled=("near",)),
    ]
    assert (tmp_path / "own" / PREVIEWS_FILE).stat().st_mode & 0o777 == 0o600
    assert api.tag() == before, "nothing was changed"
    for none, told in (
        ({}, "nothing would change: no change was given"),
        ({"strategy": "adaptive", "weights": {"near": 1}}, "nothing would change: strategy"),
        ({"disabled": ["near", "far"]}, "a member that is not disabled and weighs more than 0"),
    ):
        refused = api.post(PREVIEW, none)
        assert refused.status_code == 409 and told in refused.json()["reason"]
    assert len(looked) == 2, "nor is it counted"
    for wrong, field in (({"weights": {"x": 1}}, "weights"), ({"disabled": ["x"]}, "disabled"),
                         ({"weights": {"near": -1}}, "weights.near"),
                         ({"weights": {"near": "0.5"}}, "weights.near"),
                         ({"weights": {"near": True}}, "weights.near"),
                         ({"strategy": "best"}, "strategy"), ({"more": 1}, "more")):  # fmt: skip
        refused = api.post(PREVIEW, wrong)
        assert refused.status_code == 422
        assert [one["field"] for one in refused.json()["fields"]] == [f"body.{field}"]


def test_a_member_is_disabled_at_once_and_by_the_ledger(
    api: Served, ensemble: None, shelf: Shelf
) -> None:
    body = {"model_type": "near", "enabled": False, "reason": "it lost money"}
    tag = api.tag()
    assert api.post(ENABLE, body).status_code == 428
    answer = api.post(ENABLE, body, If_Match=tag)
    assert answer.status_code == 200 and answer.headers["ETag"] == api.tag() != tag
    assert answer.json() == {
        "version": 2, "over": 2,
        "said": "near of quantgod 2 is disabled: far of 2 members can speak",
    }  # fmt: skip
    status = api.get("/api/ensemble/status").json()
    assert status["enabled_models"] == 1
    assert (status["models"]["near"]["enabled"], status["models"]["near"]["disabled"]) == (
        False, "it lost money",
    )  # fmt: skip
    (told,) = api.get("/api/deployments").json()["deployments"][-1]["members"]
    assert (told["member"], told["enabled"], told["why"]) == ("near", False, "it lost money")
    assert api.post(ENABLE, body, If_Match=tag).status_code == 412
    assert api.post(ENABLE, body, If_Match=api.tag()).status_code == 409
    again = api.post(ENABLE, body | {"enabled": True}, If_Match=api.tag())
    assert again.status_code == 200, again.text
    assert shelf.ledger().disabled(2) == {}
    for change, field in (({"model_type": "off"}, "model_type"), ({"enabled": 1}, "enabled"),
                          ({"reason": " "}, "reason"), ({"more": 1}, "more")):  # fmt: skip
        refused = api.post(ENABLE, body | change, If_Match=api.tag())
        assert refused.status_code == 422
        assert [one["field"] for one in refused.json()["fields"]] == [f"body.{field}"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accuracy": 1.1}, "accuracy"), ({"more": 1}, "more"),
        *later(
            ({"model_type": "nobody"}, "model_type"), ({"accuracy": "0.7"}, "accuracy"),
            ({"profit_factor": -1}, "profit_factor"),
        ),
    ],
)  # fmt: skip
def test_a_report_of_another_form_is_refused_by_its_field(
    change: dict[str, Any], field: str, api: Served, ensemble: None, tmp_path: Path
) -> None:
    answer = api.post(UPDATE, SAID | change)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["fields"]] == [f"body.{field}"]
    assert not (tmp_path / "own" / PERFORMANCE_FILE).exists()


def test_without_an_ensemble_in_place_there_is_nothing_to_tell(
    api: Served, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/api/ensemble/status", "/api/ensemble/models"):
        answer = api.get(path)
        assert answer.status_code == 404 and "no version is in place" in answer.json()["reason"]
    shelf.put(1)
    monkeypatch.setattr(members, "combiner_of", lambda found: None)
    answer = api.post(UPDATE, SAID)
    assert answer.status_code == 404 and "is of a single network" in answer.json()["reason"]
