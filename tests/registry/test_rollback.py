from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import steps.rollback
from quantgod.registry.deployments import deployments
from quantgod.registry.ledger import GatesSummary, Ledger
from quantgod.registry.moving import Move, move
from quantgod.registry.registered import (
    BrokenVersionError,
    EmptyVersionError,
    NoSuchVersionError,
    holder,
    known_version,
)
from quantgod.registry.rollback import NothingToRollBackError, _gates, _target, roll_back
from tests.registry.shelves import ALIAS, NAME, Shelf
from tests.registry.test_ledger import book_of, read
from tests.registry.test_moving import Breaking, Interrupted, of_a_dead_process, put

HEAVY = ("torch", "onnxruntime", "xgboost", "matplotlib", "sklearn")


@pytest.fixture
def deployed(shelf: Shelf) -> Shelf:
    """Where versions 1, 2 and 3 were put in place, one after the other."""
    for number in (1, 2, 3):
        shelf.put(number)
    return shelf


@pytest.fixture
def spoilt(deployed: Shelf) -> Iterator[Path]:
    """The files of version 2, which are as they were when the test is over."""
    files = Path(MlflowClient().get_model_version(NAME, "2").source)
    kept = shutil.copytree(files, deployed.folder / "kept")
    yield files
    shutil.rmtree(files, ignore_errors=True)
    shutil.copytree(kept, files)


def test_it_goes_back_a_version_each_time(deployed: Shelf) -> None:
    client = MlflowClient()
    for number in (2, 1):
        entry = roll_back(NAME, ALIAS, reason="it lost money", by="a tester")
        assert holder(client, NAME, ALIAS) == number
        assert (entry.kind, entry.version, entry.over) == ("rollback", number, number + 1)
        assert (entry.why, entry.by) == ("it lost money", "a tester")
    with pytest.raises(NothingToRollBackError, match="no other version was in place before"):
        roll_back(NAME, ALIAS)
    assert [span.entry.version for span in deployments(client, NAME, ALIAS).spans] == [
        1, 2, 3, 2, 1,
    ]  # fmt: skip


def test_it_goes_to_a_version_that_is_named(deployed: Shelf) -> None:
    roll_back(NAME, ALIAS, 1)
    assert holder(MlflowClient(), NAME, ALIAS) == 1
    with pytest.raises(NothingToRollBackError, match="version 1 is in place"):
        roll_back(NAME, ALIAS, 1)
    with pytest.raises(NothingToRollBackError, match="version 4 was never promoted: promote it"):
        roll_back(NAME, ALIAS, 4)
    assert holder(MlflowClient(), NAME, ALIAS) == 1


def test_nothing_was_ever_deployed(shelf: Shelf) -> None:
    with pytest.raises(NothingToRollBackError):
        roll_back(NAME, ALIAS)
    assert shelf.ledger().entries == ()


def test_changed_and_missing_files_are_not_put_back(deployed: Shelf, spoilt: Path) -> None:
    (spoilt / "weights").write_text("of something else")
    with pytest.raises(BrokenVersionError, match="registered were"):
        roll_back(NAME, ALIAS)
    shutil.rmtree(spoilt)
    with pytest.raises((EmptyVersionError, BrokenVersionError)):
        roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == 3
    roll_back(NAME, ALIAS, 1)
    assert holder(MlflowClient(), NAME, ALIAS) == 1


def test_a_deleted_version_is_not_put_back(deployed: Shelf) -> None:
    MlflowClient().delete_model_version(NAME, "2")
    with pytest.raises(NoSuchVersionError, match="quantgod 2"):
        roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == 3


@pytest.mark.parametrize("after", [False, True])
def test_it_works_after_a_promotion_that_died(
    deployed: Shelf, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    with monkeypatch.context() as patch:
        of_a_dead_process(patch)
        with pytest.raises(Interrupted):
            put(Breaking("set_registered_model_alias", after=after), 4)
    roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == (3 if after else 2)
    assert not deployments(MlflowClient(), NAME, ALIAS).trouble


def test_it_undoes_what_was_done_by_other_means(deployed: Shelf) -> None:
    deployed.point(4)
    roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == 3
    deployed.point(None)
    roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == 3


def test_there_is_no_way_back_to_what_was_never_promoted(shelf: Shelf) -> None:
    shelf.point(4)
    shelf.put(1)
    shelf.point(3)
    shelf.put(2)
    for number in (3, 4):
        with pytest.raises(
            NothingToRollBackError, match=f"version {number} was never promoted: promote it"
        ):
            roll_back(NAME, ALIAS, number)
    roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == 1
    with pytest.raises(NothingToRollBackError, match="no other version was in place before"):
        roll_back(NAME, ALIAS)
    assert holder(MlflowClient(), NAME, ALIAS) == 1


def test_it_says_what_the_gates_had_said_of_the_version(shelf: Shelf) -> None:
    client = MlflowClient()
    for number, passed in ((1, 10), (1, 11), (2, 12)):
        gates = GatesSummary(passed=passed, failed=("coverage",), run_id="f" * 32)
        wanted = Move("promotion", known_version(client, NAME, number), "a test", gates=gates)
        move(client, NAME, ALIAS, lambda _, wanted=wanted: wanted)
    shelf.put(3)
    assert [roll_back(NAME, ALIAS, number).gates.passed for number in (2, 1, 2, 1)] == [
        12, 11, 12, 11,
    ]  # fmt: skip
    assert roll_back(NAME, ALIAS, 3).gates is None


def test_the_command_says_what_it_did_and_how_long_it_took(deployed: Shelf) -> None:
    run = CliRunner().invoke
    done = run(steps.rollback.main, ["--name", NAME, "--reason", "it lost money"])
    assert done.exit_code == 0, done.output
    assert f"{NAME} version 2 is {ALIAS} instead of 3, after " in done.output
    assert deployed.ledger().entries[-2].why == "it lost money"
    done = run(steps.rollback.main, ["--name", NAME, "--version", "4"])
    assert done.exit_code == 1
    assert (
        "NothingToRollBackError: quantgod@Production: version 4 was never promoted" in done.output
    )
    assert run(steps.rollback.main, ["--name", NAME, "--version", "last"]).exit_code == 2
    done = run(steps.rollback.main, [])
    assert (
        "quantgod-demo@Production: no version was ever in place; registry.name names" in done.output
    )


@pytest.mark.long
def test_it_waits_for_no_model_code() -> None:
    code = (
        "import sys, quantgod.registry.rollback, quantgod.tracking.store, quantgod.settings\n"
        f"sys.exit(', '.join({{*{HEAVY}}} & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_gates_told_of_a_version_are_those_of_its_last_promotion() -> None:
    verdicts = [GatesSummary(passed=number, failed=(), run_id=str(number)) for number in range(4)]
    book, entries = book_of([("promotion", 1), ("promotion", 2)] * 2), []
    for entry in read(book).entries:
        gates = verdicts.pop(0) if entry.kind == "promotion" else None
        entries.append(msgspec.structs.replace(entry, gates=gates))
    book.add("rollback", 1)
    book.add("done", 1)
    ledger = Ledger("title", (*entries, *read(book).entries[-2:]), "")
    told = [_gates(ledger, number) for number in (1, 2, 3)]
    assert [gates and gates.run_id for gates in told] == ["2", "3", None]


def test_a_version_that_was_only_found_or_stands_is_not_gone_back_to() -> None:
    ledger = read(book_of([("promotion", 1), ("found", 2), ("promotion", 3)]))
    assert _target(ledger, 1) == _target(ledger, None) == 1
    for number, told in ((3, "version 3 is in place"), (2, "was never promoted")):
        with pytest.raises(NothingToRollBackError, match=told):
            _target(ledger, number)
    with pytest.raises(NothingToRollBackError, match="no version was ever in place"):
        _target(read(book_of([])), None)
