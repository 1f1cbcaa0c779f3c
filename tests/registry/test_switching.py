"""A member of the version in place is disabled at once and enabled again, by the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.deployments
import steps.disable
from quantgod.registry import switching
from quantgod.registry.moving import LedgerWentOnError, Move, move
from quantgod.registry.registered import holder, known_version
from quantgod.registry.right import UnjudgedVersionError
from quantgod.registry.switching import (
    NoSuchMemberError,
    SwitchedAlreadyError,
    disabled_members,
    switch_member,
)
from quantgod.registry.verdict import REPORT_TAG
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.votes import Rules
from tests.registry.judging import PASSED, judged
from tests.registry.shelves import ALIAS, NAME, Shelf

COMBINER = Combiner(("near", "far"), "weighted_voting", (0.5, 0.5), Rules(quorum=2))


@pytest.fixture(autouse=True)
def members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version but the fourth is of two members."""
    monkeypatch.setattr(
        switching, "combiner_of", lambda found: None if int(found.version) == 4 else COMBINER
    )


def disabled(version: int) -> dict[str, str]:
    return disabled_members(MlflowClient(), NAME, ALIAS, version)


def off(member: str = "far", **more: str) -> None:
    switch_member(NAME, ALIAS, member, enabled=False, reason="it lost money", **more)


def test_it_is_an_entry_of_the_ledger_and_moves_nothing(shelf: Shelf) -> None:
    shelf.put(2)
    off(by="one person")
    assert shelf.kinds() == [("promotion", 2), ("done", 2), ("disabled", 2)]
    entry = shelf.ledger().entries[-1]
    assert (entry.member, entry.why, entry.by) == ("far", "it lost money", "one person")
    assert holder(MlflowClient(), NAME, ALIAS) == 2
    with pytest.raises(SwitchedAlreadyError, match=r"far is disabled already, .* by one person"):
        off()
    seen = shelf.ledger().head
    off("near", seen=seen)
    with pytest.raises(LedgerWentOnError):
        switch_member(NAME, ALIAS, "near", enabled=True, seen=seen)
    assert disabled(2) == {"far": "it lost money", "near": "it lost money"}


def test_it_belongs_to_the_version(shelf: Shelf) -> None:
    shelf.put(2)
    off()
    shelf.put(3)
    assert (disabled(3), [*disabled(2)]) == ({}, ["far"])
    with pytest.raises(SwitchedAlreadyError, match="far is enabled already"):
        switch_member(NAME, ALIAS, "far", enabled=True)
    shelf.put(2)
    assert [*disabled(2)] == ["far"], "it is still so when that version is back"


def test_enabling_is_for_versions_that_are_as_their_gates_have_judged_them(
    shelf: Shelf, tmp_path: Path
) -> None:
    shelf.point(1)
    off()
    assert [one.kind for one in shelf.ledger().entries] == ["found", "disabled"]
    with pytest.raises(UnjudgedVersionError, match="has not been judged"):
        switch_member(NAME, ALIAS, "far", enabled=True)
    try:
        judged(tmp_path, 1, PASSED)
        switch_member(NAME, ALIAS, "far", enabled=True)
    finally:
        MlflowClient().delete_model_version_tag(NAME, "1", REPORT_TAG)
    assert disabled(1) == {}
    client = MlflowClient()
    forced = Move("promotion", known_version(client, NAME, 2), "at any cost", forced="not judged")
    move(client, NAME, ALIAS, lambda _: forced)
    off()
    switch_member(NAME, ALIAS, "far", enabled=True)
    assert disabled(2) == {}


def test_who_is_no_member_of_what_is_in_place_is_refused(shelf: Shelf) -> None:
    with pytest.raises(NoSuchMemberError, match="no version is in place"):
        off()
    shelf.put(1)
    with pytest.raises(NoSuchMemberError, match="one of its members near, far expected, got wide"):
        off("wide")
    shelf.put(4)
    with pytest.raises(NoSuchMemberError, match="single network"):
        off()


def told(*arguments: str) -> Result:
    return CliRunner().invoke(steps.disable.main, ["--name", NAME, *arguments])


def test_the_command_says_who_is_left_and_the_deployments_tell_of_it(shelf: Shelf) -> None:
    shelf.put(2)
    said = told("--member", "far", "--reason", "it lost money")
    assert said.exit_code == 0, said.output
    words = " ".join(said.output.split())
    assert f"far of {NAME} 2 is disabled: near of 2 members can speak, fewer than the" in words
    listed = CliRunner().invoke(
        steps.deployments.main, ["--name", NAME, "--alias", ALIAS], env={"COLUMNS": "200"}
    )
    assert "            far disabled 20" in listed.output and ": it lost money" in listed.output
    assert told("--member", "far", "--undo").exit_code == 0
    assert disabled(2) == {}
    assert "--member NAME expected" in told().output
    assert "got wide" in told("--member", "wide").output
