"""A version takes an alias only when it has proved itself and passed its gates, or by force."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from quantgod.contracts import FEATURES
from quantgod.files import file_digest, write_json
from quantgod.registry import promotion
from quantgod.registry.deployments import deployments
from quantgod.registry.ledger import Entry, GatesSummary
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.package import CHAIN_FILE, Package
from quantgod.registry.promotion import Grounds, in_words, promote
from quantgod.registry.registered import (
    BrokenVersionError,
    EmptyVersionError,
    NoSuchVersionError,
    newest_version,
)
from quantgod.registry.verdict import REPORT_TAG, GatesError, GatesNotPassedError
from quantgod.registry.versions import load_chain
from tests.registry.conftest import NAME, Parts, Store, flip
from tests.registry.judging import BOUNDS, FAILED, PASSED, judged
from tests.registry.shelves import SERIES
from tests.registry.test_ledger import book_of, read

BOUND = Grounds(bounds=BOUNDS)
FORCED = Grounds("a test of something else", force=True, bounds=BOUNDS)


def test_a_version_is_promoted_by_a_fresh_process_and_loads_by_its_alias(
    store: Store, parts: Parts
) -> None:
    promote(NAME, store.number, why=FORCED, by="a tester")
    client = MlflowClient()
    tags = client.get_model_version_by_alias(NAME, "Production").tags
    assert re.fullmatch(
        r"\S+\+00:00 as Production over no version by a tester: a test of something else; "
        "by force over: .* has not been judged: run gates",
        tags["promoted"],
    )
    with pytest.raises(NoSuchVersionError, match="no version has this alias"):
        load_chain(NAME, "production")
    rows = parts.bars[list(FEATURES)].reset_index()
    said = load_chain(NAME).predict(rows)
    again = mlflow.pyfunc.load_model(f"models:/{NAME}@Production").predict(rows)
    assert said.equals(again)


def test_versions_that_are_not_there_are_refused_by_name(store: Store) -> None:
    for name, number in ((NAME, 99), ("nobody", 1)):
        with pytest.raises(NoSuchVersionError, match=f"{name} {number}: "):
            promote(name, number, "Elsewhere", FORCED)
    with pytest.raises(NoSuchVersionError, match="nobody"):
        newest_version("nobody")


def test_an_empty_and_a_changed_version_are_not_promoted(
    store: Store, model: Path, tmp_path: Path
) -> None:
    client = MlflowClient()
    (tmp_path / "nothing").mkdir()
    flip(model / "artifacts" / "package" / "booster.ubj", 0.5)
    cases = (
        (tmp_path / "nothing", EmptyVersionError, "no model|nothing can be downloaded"),
        (model, BrokenVersionError, "changed_file: booster.ubj"),
    )
    for source, error, reason in cases:
        version = client.create_model_version(NAME, source=str(source))
        with pytest.raises(error, match=reason):
            promote(NAME, int(version.version), "Doubtful", FORCED)
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias(NAME, "Doubtful")


@pytest.mark.long
def test_a_version_that_no_longer_gives_its_golden_output_is_not_promoted(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(parts.package.folder, tmp_path / "package"))
    said = json.loads((folder / "golden_output.json").read_text())
    said["predictions"][7]["prob_buy"] += 1e-3
    write_json(folder / "golden_output.json", said)
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(
        folder / "manifest.json",
        manifest | {"golden_output.json": file_digest(folder / "golden_output.json")},
    )
    number = store.add(
        Package(folder, CHAIN_FILE, file_digest(folder / "manifest.json"), 0.0, SERIES)
    )
    with pytest.raises(BrokenVersionError, match=r"golden_output: prob_buy is off by 0\.001"):
        promote(NAME, number, "Doubtful", FORCED)
    with pytest.raises(MlflowException):
        MlflowClient().get_model_version_by_alias(NAME, "Doubtful")


@pytest.mark.long
def test_a_process_that_dies_on_a_version_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BrokenVersionError, match="ended with code 7"):
        promote(NAME, store.number, "Doubtful", FORCED)


@pytest.fixture
def experiment(store: Store) -> Iterator[None]:
    """An active experiment, and version 1 as it was before it was judged."""
    mlflow.set_experiment(experiment_id=store.experiment)
    yield
    MlflowClient().delete_model_version_tag(NAME, str(store.number), REPORT_TAG)


def entries(alias: str) -> list[str]:
    ledger = LedgerRun(MlflowClient(), NAME, alias).read()
    return [entry.kind for entry in ledger.entries]


def said(store: Store, alias: str, entry: Entry | None) -> str:
    begins = f"{NAME} {store.number} is {alias} "
    text = in_words(NAME, alias, store.number, entry)
    assert text.startswith(begins)
    return text.removeprefix(begins)


def proven(*_: object) -> None:
    """A tryout that finds nothing."""


def needless(*_: object) -> None:
    raise AssertionError("seconds are spent on a version that is not promoted")


def test_a_version_is_promoted_when_its_gates_have_passed_and_else_not(
    store: Store, experiment: None, tmp_path: Path
) -> None:
    with pytest.raises(GatesError, match="has not been judged"):
        promote(NAME, store.number, "Judged", BOUND, tryout=needless)
    judged(tmp_path, store.number, PASSED, FAILED)
    with pytest.raises(GatesNotPassedError, match="failed: ece"):
        promote(NAME, store.number, "Judged", BOUND, tryout=needless)
    assert entries("Judged") == []
    with pytest.raises(MlflowException):
        MlflowClient().get_model_version_by_alias(NAME, "Judged")
    report = judged(tmp_path, store.number, PASSED)
    entry = promote(NAME, store.number, "Judged", BOUND, tryout=proven)
    assert entry is not None
    assert (entry.why, entry.forced) == ("its gates passed", "")
    right = f"gates passed (run {report.run_id})"
    assert said(store, "Judged", entry) == f"over no version: {right}"
    assert entry.gates == GatesSummary(passed=1, failed=(), run_id=report.run_id)
    assert entry.semantic == "1.0.0"
    assert entries("Judged") == ["promotion", "done"]


def test_gates_that_were_passed_by_relaxed_bounds_promote_nothing(
    store: Store, experiment: None, tmp_path: Path
) -> None:
    judged(tmp_path, store.number, PASSED, bounds="c" * 64)
    for why in (BOUND, Grounds()):
        with pytest.raises(GatesError, match="judged by other bounds than its settings name"):
            promote(NAME, store.number, "Relaxed", why, tryout=proven)
    assert entries("Relaxed") == []


def test_by_force_a_version_is_promoted_all_the_same_and_that_is_kept(
    store: Store, experiment: None, tmp_path: Path
) -> None:
    entry = promote(NAME, store.number, "Unjudged", FORCED, tryout=proven)
    why = f"by force: {FORCED.reason}"
    assert said(store, "Unjudged", entry) == f"over no version: {why}; never judged"
    run = judged(tmp_path, store.number, PASSED, FAILED).run_id
    entry = promote(NAME, store.number, "Forced", FORCED, tryout=proven)
    assert entry is not None
    assert said(store, "Forced", entry) == f"over no version: {why}; failed gates: ece (run {run})"
    assert entry.why == FORCED.reason
    assert "1 of 2 gates passed; failed: ece" in entry.forced
    assert entry.gates is not None
    assert entry.gates.failed == ("ece",)
    tags = MlflowClient().get_model_version(NAME, str(store.number)).tags
    assert f": {FORCED.reason}; by force over: " in tags["promoted"]
    assert "failed: ece" in tags["promoted"]


def test_force_that_was_not_needed_is_not_noted_as_such(
    store: Store, experiment: None, tmp_path: Path
) -> None:
    run = judged(tmp_path, store.number, PASSED).run_id
    entry = promote(NAME, store.number, "Needless", FORCED, tryout=proven)
    assert entry is not None
    assert (entry.why, entry.forced) == (FORCED.reason, "")
    assert said(store, "Needless", entry).endswith(f"gates passed (run {run}); {FORCED.reason}")
    judged(tmp_path, store.number, PASSED, bounds="c" * 64)
    entry = promote(NAME, store.number, "Needed", FORCED, tryout=proven)
    assert f"by force: {FORCED.reason}; quantgod 1: judged by other bounds" in said(
        store, "Needed", entry
    )


def test_force_needs_a_reason() -> None:
    for reason in ("", "  "):
        with pytest.raises(ValueError, match="needs a reason"):
            Grounds(reason, force=True)


def test_a_challenger_must_have_beaten_the_version_that_is_in_place_now(
    store: Store, parts: Parts, experiment: None, tmp_path: Path
) -> None:
    challenger = store.add(parts.package)
    judged(tmp_path, challenger, PASSED, champion=None)
    judged(tmp_path, store.number, PASSED)
    promote(NAME, store.number, "Duel", BOUND, tryout=proven)
    with pytest.raises(GatesError, match=f"but version {store.number} is in place now"):
        promote(NAME, challenger, "Duel", BOUND, tryout=proven)
    judged(tmp_path, challenger, PASSED, champion=store.number)
    entry = promote(NAME, challenger, "Duel", BOUND, tryout=proven)
    assert entry is not None
    assert entry.over == store.number
    assert f"{NAME} {challenger} is Duel over version {store.number}: " in in_words(
        NAME, "Duel", challenger, entry
    )


def test_what_is_in_place_stays_there_and_is_noted_once(store: Store) -> None:
    assert promote(NAME, store.number, "Twice", FORCED, tryout=proven) is not None
    assert promote(NAME, store.number, "Twice", tryout=needless) is None
    assert entries("Twice") == ["promotion", "done"]


def test_what_was_put_in_place_by_other_means_can_be_promoted(store: Store) -> None:
    MlflowClient().set_registered_model_alias(NAME, "Adopted", str(store.number))
    assert deployments(MlflowClient(), NAME, "Adopted").trouble
    with pytest.raises(GatesError):
        promote(NAME, store.number, "Adopted", BOUND, tryout=proven)
    assert promote(NAME, store.number, "Adopted", FORCED, tryout=proven) is not None
    assert entries("Adopted") == ["found", "promotion", "done"]
    assert not deployments(MlflowClient(), NAME, "Adopted").trouble


def test_a_tryout_that_fails_leaves_ledger_and_alias_as_they_were(store: Store) -> None:
    def fails(*_: object) -> None:
        raise BrokenVersionError("it says something else")

    with pytest.raises(BrokenVersionError):
        promote(NAME, store.number, "Tried", FORCED, tryout=fails)
    assert entries("Tried") == []


@pytest.mark.parametrize(
    ("steps", "moves"),
    [
        ([], True),
        ([("promotion", 2)], False),
        ([("promotion", 1)], True),
        ([("found", 2)], True),
        ([("promotion", 1), ("found", 2)], True),
        ([("found", 1), ("promotion", 2)], False),
        ([("promotion", 2), ("promotion", 1)], True),
        ([("promotion", 2), ("found", 1), ("rollback", 2)], False),
    ],
)
def test_only_what_a_command_has_put_in_place_is_left_there(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int | None]], moves: bool
) -> None:
    asked: list[object] = []
    store: Any = "of a test"

    def known(client: object, name: str, number: int) -> int:
        assert (client, name) == (store, "quantgod")
        return number

    ledger = read(book_of(steps))
    for name in ("check_registered", "_tag"):
        monkeypatch.setattr(promotion, name, lambda *_: None)
    monkeypatch.setattr(promotion, "known_version", known)
    monkeypatch.setattr(promotion, "check_successor", lambda *pair: asked.append(pair))
    monkeypatch.setattr(promotion, "_judged", lambda found, champion, why: (found, champion))
    monkeypatch.setattr(promotion, "move", lambda *given: given[3](ledger))
    tried: list[tuple[str, int]] = []
    done = promote("quantgod", 2, tryout=lambda *whom: tried.append(whom), client=store)
    assert tried == ([("quantgod", 2)] if moves else [])
    assert done == ((2, ledger.in_place) if moves else None)
    assert asked == ([(2, ledger.in_place)] if moves and steps else [])
