"""The ledger as a store keeps it, and the alias that follows it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunData, RunTag
from mlflow.exceptions import MlflowException

from quantgod.registry import moving
from quantgod.registry.ledger import LedgerError
from quantgod.registry.ledger_run import LEDGERS, ConcurrentPromotionError, LedgerRun
from quantgod.registry.moving import Move, move
from quantgod.registry.registered import holder, known_version
from quantgod.tracking.orphans import process_tag
from tests.later import later
from tests.registry.shelves import ALIAS, NAME, Shelf


class Interrupted(Exception):
    """What these tests end a promotion with."""


class Breaking:
    """A client of which one method raises instead, or after it has done its work."""

    def __init__(self, method: str, *, after: bool = False, times: int = 1) -> None:
        self._client = MlflowClient()
        self._method, self._after, self._left = method, after, times

    def __getattr__(self, name: str) -> Callable[..., Any]:
        bound: Callable[..., Any] = getattr(self._client, name)
        return self._broken(bound) if name == self._method else bound

    def _broken(self, bound: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left or not self._after:
                if not self._left:
                    raise Interrupted
                return bound(*args, **named)
            bound(*args, **named)
            raise Interrupted

        return call


def put(client: Any, number: int, *, refuse: bool = False) -> None:
    """Promote with this client; or look at the ledger, and then refuse."""
    found = known_version(MlflowClient(), NAME, number)

    def decide(_: object) -> Move:
        if refuse:
            raise RuntimeError("it has changed its mind")
        return Move("promotion", found, "a test")

    move(client, NAME, ALIAS, decide, "a tester")


def of_a_dead_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process signs as one that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    host, _, started = process_tag().split("/")
    monkeypatch.setattr(moving, "process_tag", lambda: f"{host}/{ended.pid}/{started}")


def test_a_promotion_is_two_entries_and_the_alias(shelf: Shelf) -> None:
    assert shelf.ledger().entries == ()
    entry = shelf.put(1, why="the first", by="someone")
    assert entry is not None
    assert (entry.version, entry.over, entry.why, entry.by) == (1, None, "the first", "someone")
    assert entry.lineage == {"run.train": "f" * 32, "data.labels": "a" * 16}
    shelf.put(2)
    assert shelf.kinds() == [("promotion", 1), ("done", 1), ("promotion", 2), ("done", 2)]
    assert shelf.ledger().entries[2].over == 1
    assert shelf.ledger().entries[2].lineage == entry.lineage, "1 has tags of earlier code"


def test_a_lineage_that_was_changed_keeps_no_version_from_its_place(shelf: Shelf) -> None:
    MlflowClient().set_model_version_tag(NAME, "2", "lineage", "changed")
    entry = shelf.put(2)
    assert entry is not None and entry.version == 2 and entry.lineage == {}
    assert holder(MlflowClient(), NAME, ALIAS) == 2


def test_aliases_have_ledgers_of_their_own(shelf: Shelf) -> None:
    shelf.put(1)
    found = known_version(MlflowClient(), NAME, 2)
    move(MlflowClient(), NAME, "Challenger", lambda _: Move("promotion", found, "shadow"))
    assert shelf.kinds() == [("promotion", 1), ("done", 1)]
    assert LedgerRun(MlflowClient(), NAME, "Challenger").read().in_place == 2


def test_an_alias_that_was_moved_by_other_means_is_noted_first(shelf: Shelf) -> None:
    shelf.point(3)
    shelf.put(1)
    shelf.point(4)
    shelf.put(2)
    shelf.point(None)
    shelf.put(1)
    promoted = [[("promotion", number), ("done", number)] for number in (1, 2, 1)]
    assert shelf.kinds() == [
        ("found", 3), *promoted[0], ("found", 4), *promoted[1], ("found", None), *promoted[2],
    ]  # fmt: skip
    assert [entry.over for entry in shelf.ledger().entries] == [
        None, 3, 3, 1, 4, 4, 2, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "after", "times", "kind"),
    [
        ("set_registered_model_alias", False, 1, "abandoned"),
        ("set_registered_model_alias", True, 1, "done"),
        ("log_param", True, 1, "abandoned"),
        ("log_param", False, 2, "done"),
    ],
    ids=["before the move", "after it", "before it, after the note", "before the second note"],
)
def test_what_a_dead_process_began_is_settled_by_the_next(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, method: str, after: bool, times: int, kind: str
) -> None:
    shelf.put(1)
    with monkeypatch.context() as patch:
        of_a_dead_process(patch)
        with pytest.raises(Interrupted):
            put(Breaking(method, after=after, times=times), 2)
    in_place = 2 if kind == "done" else 1
    assert holder(MlflowClient(), NAME, ALIAS) == in_place
    shelf.put(3)
    assert shelf.kinds()[2:] == [("promotion", 2), (kind, 2), ("promotion", 3), ("done", 3)]
    assert shelf.ledger().entries[-1].over == in_place


def test_what_a_living_process_has_begun_is_left_to_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(1)
    with pytest.raises(Interrupted):
        put(Breaking("set_registered_model_alias"), 2)
    under_way = f"a tester is putting version 2 in place .promotion, {process_tag()}"
    with pytest.raises(ConcurrentPromotionError, match=under_way):
        shelf.put(3)
    assert shelf.kinds()[-1] == ("promotion", 2)
    monkeypatch.setattr(moving, "LEASE_SECONDS", 0.0)
    shelf.put(3)
    assert shelf.kinds()[3:] == [("abandoned", 2), ("promotion", 3), ("done", 3)]


@pytest.mark.parametrize("is_moved", [True, False])
def test_who_was_taken_for_dead_hears_whether_the_other_recorded_the_same(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, is_moved: bool
) -> None:
    """The other settles the open entry just after the alias was moved, or just before."""
    shelf.put(1)
    bound = MlflowClient.set_registered_model_alias

    def settle() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(moving, "LEASE_SECONDS", 0.0)
            assert move(MlflowClient(), NAME, ALIAS, lambda _: None, "the other") is None

    def moved(*given: Any) -> None:
        if not is_moved:
            settle()
        bound(*given)
        if is_moved:
            settle()

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", moved)
    if is_moved:
        entry = shelf.put(2)
        assert entry is not None and (entry.kind, entry.version) == ("promotion", 2)
    else:
        with pytest.raises(ConcurrentPromotionError, match="abandoned of version 2 by the other"):
            shelf.put(2)
    assert shelf.kinds()[2:] == [("promotion", 2), ("done" if is_moved else "abandoned", 2)]
    assert shelf.ledger().entries[-1].by == "the other"
    assert holder(MlflowClient(), NAME, ALIAS) == 2


def test_a_process_of_another_machine_has_its_lease(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(moving, "process_tag", lambda: "elsewhere/1/2.00")
        with pytest.raises(Interrupted):
            put(Breaking("set_registered_model_alias", after=True), 2)
    for age in (0.0, moving.LEASE_SECONDS - 1e-6):
        monkeypatch.setattr(moving, "_age", lambda _, age=age: age)
        with pytest.raises(ConcurrentPromotionError, match="elsewhere/1/2"):
            shelf.put(3)
    monkeypatch.setattr(moving, "_age", lambda _: moving.LEASE_SECONDS)
    shelf.put(3)
    assert shelf.kinds()[1] == ("done", 2)


@pytest.mark.parametrize(
    ("uri", "age", "waits"),
    [
        ("http://x", 0.5, [1.5]),
        ("https://x", 2.0, [0.0]),
        ("http://x", 9.0, [0.0]),
        (None, 0.5, []),
    ],
)
def test_what_a_dead_process_has_sent_to_a_server_may_still_arrive(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, uri: str | None, age: float, waits: list[float]
) -> None:
    """The alias is looked at when a call of that process must have been answered."""
    with monkeypatch.context() as patch:
        of_a_dead_process(patch)
        with pytest.raises(Interrupted):
            put(Breaking("set_registered_model_alias"), 2)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        shelf.point(2)

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    store = SimpleNamespace(get_tracking_uri=lambda: uri or shelf.uri)
    with monkeypatch.context() as patch:
        for name, fake in (("time", clock), ("mlflow", store), ("_age", lambda _: age)):
            patch.setattr(moving, name, fake)
        put(MlflowClient(), 3)
    assert slept == waits
    assert shelf.kinds()[1] == ("done" if waits else "abandoned", 2)


def test_a_promotion_that_took_too_long_to_begin_does_not_move(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put(1)
    monkeypatch.setattr(moving, "MOVE_SECONDS", 0.0)
    with pytest.raises(ConcurrentPromotionError, match="more than 0 s to answer; not moved"):
        shelf.put(2)
    assert holder(MlflowClient(), NAME, ALIAS) == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_promotion_may_take_exactly_as_long_as_it_may(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    limit = moving.MOVE_SECONDS
    moments = iter([1_000.0, np.nextafter(1_000.0 + limit, np.inf) if late else 1_000.0 + limit])
    clock = SimpleNamespace(sleep=time.sleep, monotonic=lambda: next(moments))
    monkeypatch.setattr(moving, "time", clock)
    if late:
        with pytest.raises(ConcurrentPromotionError, match="to answer; not moved"):
            shelf.put(1)
    else:
        shelf.put(1)
    assert shelf.ledger().in_place == (None if late else 1)
    assert {len(entry.nonce) for entry in shelf.ledger().entries} == {16}


def test_who_appends_to_a_ledger_that_has_grown_is_told_who_was_first(shelf: Shelf) -> None:
    shelf.put(1)
    found = known_version(MlflowClient(), NAME, 2)

    def outrun(_: object) -> Move:
        shelf.put(3, by="the faster one")
        return Move("promotion", found, "too late")

    told = r"another was first: promotion of version 3 by the faster one .*nothing was changed"
    with pytest.raises(ConcurrentPromotionError, match=told):
        move(MlflowClient(), NAME, ALIAS, outrun)
    assert shelf.kinds()[2:] == [("promotion", 3), ("done", 3)]
    assert holder(MlflowClient(), NAME, ALIAS) == 3


@pytest.mark.parametrize("moved", [4, *later(None)])
@pytest.mark.parametrize("wanted", [2, *later(4)])
def test_an_alias_that_is_moved_by_other_means_meanwhile_is_left_there(
    shelf: Shelf, moved: int | None, wanted: int
) -> None:
    shelf.put(1)
    found = known_version(MlflowClient(), NAME, wanted)

    def outrun(_: object) -> Move:
        shelf.point(moved)
        return Move("promotion", found, "too late")

    told = "meanwhile the alias was moved by other means to .* from version 1; nothing was changed"
    with pytest.raises(ConcurrentPromotionError, match=told):
        move(MlflowClient(), NAME, ALIAS, outrun)
    assert holder(MlflowClient(), NAME, ALIAS) == moved
    assert shelf.kinds()[2:] == [("promotion", wanted), ("abandoned", wanted)]
    shelf.put(3)
    assert shelf.kinds()[4:] == [("found", moved), ("promotion", 3), ("done", 3)]


def test_an_answer_that_was_lost_is_not_taken_for_a_defeat(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = MlflowClient.log_param

    def lost(*args: Any, **named: Any) -> None:
        kept(*args, **named)
        raise MlflowException("the connection broke")

    monkeypatch.setattr(MlflowClient, "log_param", lost)
    shelf.put(1)
    assert shelf.kinds() == [("promotion", 1), ("done", 1)]


def test_a_store_that_cannot_be_written_is_no_defeat_either(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MlflowException("the disk is full")

    monkeypatch.setattr(MlflowClient, "log_param", refuse)
    with pytest.raises(MlflowException, match="the disk is full"):
        shelf.put(1)


def test_a_move_that_mlflow_refuses_is_noted_as_ended(shelf: Shelf) -> None:
    found = known_version(MlflowClient(), NAME, 1)
    with pytest.raises(MlflowException, match="v12"):
        move(MlflowClient(), NAME, "v12", lambda _: Move("promotion", found, "a test"))
    ledger = LedgerRun(MlflowClient(), NAME, "v12").read()
    assert [entry.kind for entry in ledger.entries] == ["promotion", "abandoned"]
    assert ledger.entries[-1].why.startswith("MLflow refused: ")
    assert ledger.open is None


def run_of(shelf: Shelf) -> str:
    (run,) = MlflowClient().search_runs(
        [MlflowClient().get_experiment_by_name(LEDGERS).experiment_id]
    )
    return str(run.info.run_id)


@pytest.mark.parametrize(
    "change",
    [
        "update params set value = replace(value, 'a tester', 'nobody') where key = '000001'",
        "update params set value = replace(value, 'a tester', 'nobody') where key = '000004'",
        "delete from params where key = '000002'",
        "delete from params where key = '000004'",
        "update params set key = '000005' where key = '000004'",
        "insert into params (key, value, run_uuid) select '000006', value, run_uuid from params",
    ],
)
def test_a_ledger_that_was_changed_in_the_database_is_refused(shelf: Shelf, change: str) -> None:
    shelf.put(1)
    shelf.put(2)
    with closing(sqlite3.connect(shelf.database)) as database, database:
        if change.startswith("insert"):
            change += " where key = '000004'"
        assert database.execute(change).rowcount == 1
    with pytest.raises(LedgerError, match=f"{NAME}@{ALIAS}: entry 00000"):
        shelf.ledger()
    with pytest.raises(LedgerError):
        shelf.put(3)
    assert holder(MlflowClient(), NAME, ALIAS) == 2


def test_no_entry_can_be_changed_through_mlflow(shelf: Shelf) -> None:
    shelf.put(1)
    with pytest.raises(MlflowException, match="not allowed"):
        MlflowClient().log_param(run_of(shelf), "000001", "something else")


def test_a_deleted_ledger_is_not_begun_anew(shelf: Shelf) -> None:
    shelf.put(1)
    client, run = MlflowClient(), run_of(shelf)
    client.delete_run(run)
    with pytest.raises(LedgerError, match=f"was deleted: restore run {run}"):
        shelf.put(2)
    client.restore_run(run)
    shelf.put(2)
    experiment = client.get_experiment_by_name(f"{LEDGERS}/{NAME}@{ALIAS}").experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(LedgerError, match="was deleted or changed"):
        shelf.put(3)


def test_the_ledgers_run_is_no_run_that_is_still_going_on(shelf: Shelf) -> None:
    shelf.put(1)
    assert MlflowClient().get_run(run_of(shelf)).info.status == "FINISHED"


def test_of_two_who_begin_a_ledger_one_is_followed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other begins between this one's look and its own attempt."""
    create = MlflowClient.create_experiment

    def outrun(client: MlflowClient, name: str, **named: Any) -> str:
        if name.startswith(f"{LEDGERS}/"):
            monkeypatch.setattr(MlflowClient, "create_experiment", create)
            shelf.put(1, by="the faster one")
        return create(client, name, **named)

    monkeypatch.setattr(MlflowClient, "create_experiment", outrun)
    with pytest.raises(ConcurrentPromotionError, match="the faster one"):
        shelf.put(2)
    assert shelf.kinds() == [("promotion", 1), ("done", 1)]
    assert run_of(shelf), "the other run is gone"


def test_an_entry_that_comes_between_parameters_and_tags_is_no_lost_one(shelf: Shelf) -> None:
    """A store reads a run's parameters and its tags one after the other."""
    shelf.put(1)

    class Torn:
        """A client whose answer is older in its parameters than in its tags."""

        def __getattr__(self, name: str) -> Any:
            return getattr(MlflowClient(), name)

        def get_run(self, run_id: str) -> Run:
            before = MlflowClient().get_run(run_id)
            shelf.put(2)
            after = MlflowClient().get_run(run_id)
            params = [Param(*item) for item in before.data.params.items()]
            tags = [RunTag(*item) for item in after.data.tags.items()]
            return Run(after.info, RunData(params=params, tags=tags))

    client: Any = Torn()
    assert LedgerRun(client, NAME, ALIAS).read().in_place == 2


def test_age_is_no_matter_of_time_zones(monkeypatch: pytest.MonkeyPatch, shelf: Shelf) -> None:
    monkeypatch.setitem(os.environ, "TZ", "Asia/Tokyo")
    time.tzset()
    with pytest.raises(Interrupted):
        put(Breaking("set_registered_model_alias"), 2)
    with pytest.raises(ConcurrentPromotionError):
        shelf.put(3)
    monkeypatch.undo()
    time.tzset()
