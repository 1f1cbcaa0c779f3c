from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import cast

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import quantgod.registry.deployments as listing
import steps.deployments
from quantgod.registry.deployments import READS, as_json, deployments
from quantgod.registry.ledger import Ledger, right_in_words
from quantgod.registry.lineage import Lineage, lineage_of
from quantgod.registry.registered import known_version
from quantgod.registry.rollback import roll_back
from tests.registry.shelves import ALIAS, NAME, Shelf
from tests.registry.test_ledger import book_of, read
from tests.registry.test_moving import Breaking, Interrupted, put


def told(*arguments: str, columns: int = 400) -> Result:
    return CliRunner().invoke(
        steps.deployments.main, ["--name", NAME, *arguments], env={"COLUMNS": str(columns)}
    )


def rows() -> list[dict[str, object]]:
    said = told("--json")
    listed: list[dict[str, object]] = json.loads(said.stdout)
    return listed


def test_nothing_was_deployed_yet(shelf: Shelf) -> None:
    assert rows() == []
    assert told().exit_code == 0
    assert MlflowClient().get_experiment_by_name("deployments") is None, "nothing is written"


def test_of_a_model_that_nobody_knows_nothing_can_be_told(shelf: Shelf) -> None:
    said = told("--name", "nosuch")
    assert said.exit_code == 1
    told_last = said.stderr.splitlines()[-1]
    assert told_last.startswith("Error: NoSuchVersionError: nosuch: no such model is registered (")
    assert "Traceback" not in said.stderr


def test_it_tells_what_was_in_place_from_when_to_when_by_whom_and_why(shelf: Shelf) -> None:
    shelf.put(1, why="the first", by="one person")
    shelf.put(2, why="it is better", by="another")
    roll_back(NAME, ALIAS, reason="it was not", by="a third")
    first, second, third = rows()
    assert [row["version"] for row in (first, second, third)] == [1, 2, 1]
    assert [row["by"] for row in (first, second, third)] == ["one person", "another", "a third"]
    assert [row["why"] for row in (first, second, third)] == [
        "the first", "it is better", "it was not",
    ]  # fmt: skip
    assert third["how"] == "rolled back"
    assert third["until"] is None
    assert str(first["from"]) < str(first["until"]) <= str(second["from"]) < str(second["until"])
    assert first["lineage"] == {"run.train": "f" * 32, "data.labels": "a" * 16}
    said = told()
    assert said.exit_code == 0
    assert said.stdout.index("the first") < said.stdout.index("it was not"), "the newest last"
    assert told("--details").stdout.count("data.labels " + "a" * 16) == 3


def test_a_version_of_a_simulated_market_is_told_as_such(shelf: Shelf) -> None:
    shelf.put(1)
    assert "simulated" not in told().stdout
    client = MlflowClient()
    made = Lineage({"simulate": "s"}, lineage_of(known_version(client, NAME, 2)).data).tags()
    for key, value in made.items():
        client.set_model_version_tag(NAME, "2", key, value)
    shelf.put(2)
    lines = told(columns=80).stdout.splitlines()
    assert ["simulated market; gates: " in line for line in lines] == [False] * 4 + [True]
    entries = [span.entry for span in deployments(client, NAME, ALIAS).spans]
    assert [right_in_words(entry).endswith("; simulated market") for entry in entries] == [
        False, True,
    ]  # fmt: skip


def test_a_deployment_takes_two_lines_of_a_narrow_terminal(shelf: Shelf) -> None:
    shelf.put(1, why="a very long reason " * 20, by="somebody with a long name")
    shelf.put(2)
    lines = told(columns=80).stdout.splitlines()
    assert len(lines) == 1 + 2 * 2
    assert all(len(line) <= 80 for line in lines)
    assert "promoted" in lines[1]
    assert "a very long reason" in lines[2]
    assert "reason " * 19 not in told(columns=80).stdout
    whole = " ".join(told("--details", columns=80).stdout.split())
    assert ("a very long reason " * 20).strip() in whole


def test_a_reason_is_shown_as_it_was_written(shelf: Shelf) -> None:
    shelf.put(1, why="[red]loses[/red] money")
    assert "[red]loses[/red] money" in told().stdout


@pytest.mark.parametrize("moved", [4, None])
def test_an_alias_that_was_moved_by_other_means_is_told_and_is_an_error(
    shelf: Shelf, moved: int | None
) -> None:
    shelf.put(1)
    shelf.point(moved)
    said = told()
    now = "no version" if moved is None else f"version {moved}"
    assert said.exit_code == 1
    assert f"quantgod@Production names {now}, its ledger says version 1" in said.stderr
    assert ("MOVED BY OTHER MEANS" in said.stdout) == (moved is not None)
    assert [row["version"] for row in rows()] == ([1] if moved is None else [1, 4])
    assert rows()[0]["until"] is not None
    assert shelf.kinds() == [("promotion", 1), ("done", 1)], "it writes nothing"


def test_it_stays_an_error_until_a_promotion_or_a_rollback(shelf: Shelf) -> None:
    shelf.put(1)
    shelf.point(4)
    with pytest.raises(RuntimeError, match="changed its mind"):
        put(Breaking("nothing"), 2, refuse=True)
    assert shelf.kinds()[-1] == ("found", 4)
    assert told().exit_code == 1
    assert "which no promotion and no rollback put there" in told().stderr
    shelf.put(2)
    assert told().exit_code == 0
    assert [row["how"] for row in rows()] == ["promoted", "MOVED BY OTHER MEANS", "promoted"]


@pytest.mark.long
def test_who_moved_an_alias_by_other_means_is_unknown_and_when_it_was_noticed_is_told(
    shelf: Shelf,
) -> None:
    shelf.point(3)
    shelf.put(1, by="one person")
    shelf.point(4)
    shelf.put(2, by="another")
    found = [row for row in rows() if row["how"] == "MOVED BY OTHER MEANS"]
    assert [(row["by"], row["why"]) for row in found] == [
        ("unknown", "in place when the ledger began, noticed by one person"),
        ("unknown", "moved by other means, noticed by another"),
    ]
    assert [row["noticed"] for row in rows()] == [True, False, True, False]
    assert told().stdout.count("noticed 20") == 2
    shelf.point(3)
    assert rows()[-1]["by"] == "unknown"
    assert told().stdout.count("noticed 20") == 3


@pytest.mark.parametrize("after", [False, True])
def test_a_promotion_that_is_under_way_is_no_error(shelf: Shelf, after: bool) -> None:
    shelf.put(1)
    with pytest.raises(Interrupted):
        put(Breaking("set_registered_model_alias", after=after), 2)
    said = told()
    assert said.exit_code == 0
    assert "promotion of version 2 began at" in said.stdout
    assert [row["version"] for row in rows()] == ([1, 2] if after else [1])
    assert rows()[-1]["until"] is None


def test_a_changed_ledger_is_told(shelf: Shelf) -> None:
    shelf.put(1)
    with closing(sqlite3.connect(shelf.database)) as database, database:
        database.execute("update params set value = replace(value, 'a test', 'a lie')")
    said = told()
    assert said.exit_code == 1
    assert "LedgerError: quantgod@Production: entry 000002 does not follow" in said.output


def test_a_promotion_between_two_looks_is_no_false_alarm(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(1)
    look = MlflowClient.get_model_version_by_alias

    def promoted_before(*arguments: object) -> object:
        monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", look)
        shelf.put(2)
        return look(*arguments)

    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", promoted_before)
    found = deployments(MlflowClient(), NAME, ALIAS)
    assert not found.trouble
    assert [span.entry.version for span in found.spans] == [1, 2]


class Moments:
    """What a store says one moment after another: of the ledger, and of whom the alias names."""

    def __init__(self, patch: pytest.MonkeyPatch, ledgers: list[Ledger], held: list[int | None]):
        self.ledgers, self.held, self.said = iter(ledgers), iter(held), 0
        patch.setattr(listing, "LedgerRun", lambda *_: self)
        patch.setattr(listing, "holder", self.holder)
        patch.setattr(listing, "now", lambda: "now")

    def read(self) -> Ledger:
        return next(self.ledgers)

    def holder(self, *_: object) -> int | None:
        self.said += 1
        return next(self.held)


STORE = cast("MlflowClient", SimpleNamespace(get_registered_model=lambda name: name))
STOOD = [("promotion", 1), ("promotion", 2), ("promotion", 3)]
FOUND = [*STOOD, ("found", 4)]


@pytest.mark.parametrize(
    ("steps", "begun", "held", "versions", "ends", "trouble"),
    [
        (STOOD, None, 3, [1, 2, 3], "", ""),
        (STOOD, None, 5, [1, 2, 3, 5], "now", "names version 5, its ledger says version 3"),
        (STOOD, None, None, [1, 2, 3], "now", "names no version, its ledger says version 3"),
        (STOOD, 2, 3, [1, 2, 3], "", ""),
        (STOOD, 2, 2, [1, 2, 3, 2], "begun", ""),
        (STOOD, 2, 5, [1, 2, 3, 5], "now", "names version 5, its ledger says version 3"),
        (STOOD[:1], 2, 2, [1, 2], "begun", ""),
        ([], 2, None, [], "", ""),
        ([], 2, 2, [2], "", ""),
        (FOUND, None, 4, [1, 2, 3, 4], "", "names version 4, which no promotion and no rollback"),
        ([("found", 4)], None, 4, [4], "", "names version 4, which no promotion and no rollback"),
        ([*FOUND, ("promotion", 1)], None, 1, [1, 2, 3, 4, 1], "", ""),
        ([("found", 4), ("promotion", 1)], None, 1, [4, 1], "", ""),
        ([*FOUND, ("found", None)], None, None, [1, 2, 3, 4], "", ""),
        ([*FOUND, ("found", None)], None, 6, [1, 2, 3, 4, 6], "", "names version 6, its ledger"),
        ([], None, None, [], "", ""),
        ([], None, 1, [1], "", "names version 1, its ledger says no version"),
    ],
)
def test_the_alias_is_compared_with_its_ledger(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int | None]],
    begun: int | None, held: int | None, versions: list[int], ends: str, trouble: str,
) -> None:  # fmt: skip
    """`ends`: when the last span of the ledger ended, if it is not told by the ledger itself."""
    book = book_of(steps)
    told = [(span.since, span.until) for span in listing.history(read(book))]
    if begun is not None:
        book.add("rollback", begun)
    ledger = read(book)
    Moments(monkeypatch, [ledger] * 2, [held])
    found = deployments(STORE, NAME, ALIAS)
    assert [span.entry.version for span in found.spans] == versions
    if ends:
        told[-1] = told[-1][0], ends if ends == "now" else ledger.entries[-1].at
    assert [(span.since, span.until) for span in found.spans[: len(told)]] == told
    if len(versions) > len(told):
        since = "now" if trouble else ledger.entries[-1].at
        assert (found.spans[-1].since, found.spans[-1].until) == (since, None)
        assert found.spans[-1].is_known == (not trouble)
        if trouble:
            assert len(found.spans[-1].entry.nonce) == 16
    assert trouble in found.trouble and bool(trouble) == bool(found.trouble)
    assert found.under_way == (None if begun is None else ledger.entries[-1])
    rows = json.loads(as_json(found))
    assert [row["noticed"] for row in rows] == [not span.is_known for span in found.spans]
    assert [(row["semantic_version"], row["forced_over"]) for row in rows] == [(None, None)] * len(
        rows
    )


@pytest.mark.parametrize(("grows", "asked"), [(0, 1), (1, 2), (3, 4), (99, READS)])
def test_ledger_and_alias_are_of_one_moment(
    monkeypatch: pytest.MonkeyPatch, grows: int, asked: int
) -> None:
    """While the alias was asked for, entries were appended: it is asked again, and not for ever."""
    states = [read(book_of([("found", number % 4 + 1)] * number)) for number in range(1, 100)]
    ledgers = [*states[: grows + 1], *[states[min(grows, 98)]] * READS]
    moments = Moments(monkeypatch, ledgers, [entries % 4 + 1 for entries in range(1, 100)])
    found = deployments(STORE, NAME, ALIAS)
    assert moments.said == asked
    if grows < READS:
        assert found.spans[-1].entry.version == (grows + 1) % 4 + 1


def test_a_store_out_of_order_is_not_a_model_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        error = MlflowException("busy")
        error.error_code = "TEMPORARILY_UNAVAILABLE"
        raise error

    Moments(monkeypatch, [read(book_of([]))] * 2, [None])
    with pytest.raises(MlflowException, match="busy"):
        deployments(cast("MlflowClient", SimpleNamespace(get_registered_model=refuse)), NAME, ALIAS)
