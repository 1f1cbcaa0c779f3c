"""A change of the ensemble in place: its settings, what it takes, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantgod.ensemble.fitting import UnknownMemberError
from quantgod.registry import changing
from quantgod.registry.changing import ChangeError, EnsembleChange, plan_change
from quantgod.registry.moving import LedgerWentOnError, Switch, switch
from quantgod.registry.registered import NoSuchVersionError
from quantgod.settings import Settings, load_settings, members_of, with_values, without_disabled
from quantgod.tracking.keys import path_digest
from quantgod.tracking.stage import CODE_TAG
from tests.registry.lineages import Lineage
from tests.registry.shelves import ALIAS, NAME, Shelf

HOW = {"strategy": "hedge", "weights": {"tcn": 2.0}, "disabled": ["linear"]}


@pytest.fixture(scope="module")
def own() -> Settings:
    """Three members, of which `linear` has no vote."""
    demo = load_settings(Path("conf/ensemble_demo.yaml"))
    return with_values(demo, {"ensemble": HOW, "registry.name": NAME})


def test_a_disabled_member_is_absent_from_what_is_combined(own: Settings) -> None:
    weights = {"ensemble.weights": {"tcn": 2.0, "linear": 3.0}}
    voting = without_disabled(with_values(own, weights))
    assert list(members_of(voting)) == ["tcn", "cnn"]
    assert voting == with_values(
        own, {"ensemble.disabled": [], "members": {n: own.members[n] for n in ("tcn", "cnn")}}
    )
    assert without_disabled(voting) is voting
    single = load_settings(Path("conf/demo.yaml"))
    assert without_disabled(single) is single


@pytest.mark.parametrize(
    ("asked", "found", "words"),
    [
        (EnsembleChange({"cnn": 0.5}), {"weights": {"tcn": 2.0, "cnn": 0.5}}, "weight of cnn 0.5"),
        (EnsembleChange(strategy="majority"), {"strategy": "majority"}, "strategy majority"),
        (EnsembleChange(enabled={"linear": True}), {"disabled": ()}, "linear enabled"),
        (
            EnsembleChange({"linear": 3.0}, None, {"linear": True, "tcn": False}),
            {"weights": {"tcn": 2.0, "linear": 3.0}, "disabled": ("tcn",)},
            "weight of linear 3; linear enabled; tcn disabled",
        ),
    ],
)
def test_a_change_is_of_the_ensemble_alone(
    asked: EnsembleChange, found: dict[str, object], words: str, own: Settings
) -> None:
    changed = asked.of(own)
    assert changed.ensemble is not None and own.ensemble is not None
    assert changed.ensemble == own.ensemble.model_copy(update=found)
    assert changed.model_copy(update={"ensemble": own.ensemble}) == own
    assert asked.in_words() == words


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (EnsembleChange(), "nothing would change: no change was given"),
        (
            EnsembleChange({"tcn": 2.0}, "hedge", {"linear": False}),
            "nothing would change: strategy",
        ),
        (EnsembleChange({"cnn": 1.0}), "nothing would change: weight of cnn 1"),
        (EnsembleChange({"linear": 0.5}), "nothing would change"),
        (EnsembleChange({"cnn": 0.5}, "stacking"), "stacking fits the weights itself"),
        (EnsembleChange({"cnn": -1}), r"weights\.cnn: .* greater than or equal to 0"),
        (EnsembleChange(strategy="best"), "ensemble.strategy: Input should be 'weighted_voting'"),
        (EnsembleChange(enabled={"cnn": False, "tcn": False}), "that is not disabled and weighs"),
        (EnsembleChange({"cnn": 0, "tcn": 0}), "weighs more than 0 expected"),
    ],
)
def test_what_changes_nothing_or_cannot_be_is_refused(
    asked: EnsembleChange, said: str, own: Settings
) -> None:
    with pytest.raises(ChangeError, match=said):
        asked.of(own)


def test_a_change_names_members_of_the_version_in_place(own: Settings) -> None:
    for asked in (EnsembleChange({"nobody": 1.0}), EnsembleChange(enabled={"nobody": True})):
        with pytest.raises(UnknownMemberError, match=r"no member nobody \(members: tcn, cnn, lin"):
            asked.of(own)
    with pytest.raises(ChangeError, match="is of a single network"):
        EnsembleChange(strategy="majority").of(load_settings(Path("conf/demo.yaml")))


def test_a_member_less_leaves_a_quorum_that_can_be_reached(own: Settings) -> None:
    with pytest.raises(ChangeError, match=r"ensemble.quorum: at most 1, .* that vote, .* got 2"):
        EnsembleChange(enabled={"cnn": False}).of(with_values(own, {"ensemble.quorum": 2}))


@pytest.fixture
def lineage(shelf: Shelf, own: Settings, monkeypatch: pytest.MonkeyPatch) -> Lineage:
    """An ensemble with a lineage of runs, in place."""
    labels = shelf.folder / "labels.parquet"
    labels.write_bytes(b"labels")
    made = Lineage(shelf, labels, path_digest(labels), settings=own)
    made.whole(("members", "audit"))
    made.client.log_text(made.runs["members"], "{}", "output.json")
    made.client.set_tag(made.runs["members"], CODE_TAG, "of today")
    monkeypatch.setattr(changing, "code_digest", lambda: "of today")
    shelf.put(made.number)
    return made


WEIGHT = EnsembleChange({"cnn": 0.5})


def planned(
    lineage: Lineage, asked: EnsembleChange = WEIGHT, **more: Any
) -> changing.PlannedChange:
    return plan_change(lineage.client, lineage.settings, asked, **more)


def test_a_plan_takes_the_members_as_they_were_trained_and_the_rows_that_they_learned_from(
    lineage: Lineage,
) -> None:
    plan = planned(lineage)
    assert plan.runs == {name: lineage.runs[name] for name in ("label", "members")}
    assert plan.over == lineage.number
    assert plan.seen == lineage.shelf.ledger().head
    elsewhere = with_values(lineage.settings, {"tracking.outbox": "elsewhere", "split.folds": 3})
    there = plan_change(lineage.client, elsewhere, WEIGHT, plan.seen).settings
    assert there.split == lineage.settings.split, "the version's own settings count"
    assert there.tracking == elsewhere.tracking, "in the store at hand"


def test_a_member_that_the_ledger_has_disabled_is_not_brought_back_by_another_change(
    lineage: Lineage,
) -> None:
    found = lineage.judged()
    failed = Switch("cnn", enabled=False, found=found, why="it failed")
    switch(lineage.client, NAME, ALIAS, lambda _: failed)
    plan = planned(lineage, EnsembleChange(strategy="majority"))
    assert plan.settings.ensemble is not None
    assert plan.settings.ensemble.disabled == ("linear", "cnn")
    assert plan.asked.in_words() == "strategy majority; cnn disabled"
    back = planned(lineage, EnsembleChange(strategy="majority", enabled={"cnn": True}))
    assert back.settings.ensemble is not None
    assert back.settings.ensemble.disabled == ("linear",)


def test_a_plan_is_of_the_deployments_that_were_seen(lineage: Lineage) -> None:
    seen = lineage.shelf.ledger().head
    lineage.shelf.put(1)
    lineage.shelf.put(lineage.number)
    with pytest.raises(LedgerWentOnError, match="went on since it was read"):
        planned(lineage, seen=seen)
    lineage.shelf.point(1)
    with pytest.raises(ChangeError, match="Production names version 1, its ledger says version 5"):
        planned(lineage)


def test_without_a_version_in_place_there_is_nothing_to_change(shelf: Shelf, own: Settings) -> None:
    made = Lineage(shelf, shelf.folder, "", settings=own)
    with pytest.raises(NoSuchVersionError, match="no version is in place"):
        planned(made)


def other_labels(lineage: Lineage, _patch: pytest.MonkeyPatch) -> None:
    lineage.labels.write_bytes(b"newer labels")


def other_code(_lineage: Lineage, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changing, "code_digest", lambda: "of tomorrow")


def deleted_members(lineage: Lineage, _patch: pytest.MonkeyPatch) -> None:
    lineage.remade(members="0" * 32)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            other_labels,
            "what its label run [0-9a-f]+ made has changed since; `python -m steps.main",
        ),
        (other_code, "other code than the present one has trained its members"),
        (deleted_members, "its members run 0+ is gone"),
    ],
)
def test_what_the_version_was_made_of_has_to_be_there_as_it_was(
    spoil: Callable[[Lineage, pytest.MonkeyPatch], None],
    said: str,
    lineage: Lineage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(lineage, monkeypatch)
    with pytest.raises(ChangeError, match=said):
        planned(lineage)
