"""One run holds a ledger: who is first, what a lost answer means, and what was deleted."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from quantgod.registry.ledger import Entry, LedgerError, digest_of, head_text, text_of
from quantgod.registry.ledger_run import (
    HEAD_TAG,
    LEDGER_TAG,
    LEDGERS,
    NOTE,
    ConcurrentPromotionError,
    LedgerRun,
)
from quantgod.tracking.store import NOTE_TAG

TITLE = "quantgod@Production"
Fault = Callable[..., None]


class Client:
    """A store in memory whose calls can be made to fail: before or after what they do."""

    def __init__(self) -> None:
        self.experiments: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.before: dict[str, Fault] = {}
        self.after: dict[str, Fault] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not callable(found):
            return found

        def called(*given: Any, **named: Any) -> Any:
            self.before.get(name, lambda *_, **__: None)(*given, **named)
            answer = found(*given, **named)
            self.after.get(name, lambda *_, **__: None)(*given, **named)
            return answer

        return called

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiments.get(name)

    def create_experiment(self, name: str, tags: dict[str, str]) -> str:
        if name in self.experiments:
            raise MlflowException(f"{name} exists")
        number = str(len(self.experiments))
        self.experiments[name] = SimpleNamespace(
            name=name, experiment_id=number, tags=tags, lifecycle_stage="active"
        )
        return number

    def create_run(self, experiment: str, run_name: str) -> Any:
        info = SimpleNamespace(
            run_id=f"run{len(self.runs)}", lifecycle_stage="active", status="RUNNING",
            experiment_id=experiment, run_name=run_name,
        )  # fmt: skip
        run = SimpleNamespace(info=info, data=SimpleNamespace(params={}, tags={}))
        self.runs[info.run_id] = run
        return run

    def update_run(self, run_id: str, status: str) -> None:
        self.runs[run_id].info.status = status

    def delete_run(self, run_id: str) -> None:
        self.runs[run_id].info.lifecycle_stage = "deleted"

    def get_run(self, run_id: str) -> Any:
        if run_id not in self.runs:
            raise out_of("RESOURCE_DOES_NOT_EXIST")
        return self.runs[run_id]

    def log_param(self, run_id: str, key: str, value: str, synchronous: bool) -> None:
        assert synchronous, "an answer must be waited for"
        params = self.runs[run_id].data.params
        if params.setdefault(key, value) != value:
            raise MlflowException("changing a parameter is not allowed")

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.runs[run_id].data.tags[key] = value


def out_of(kind: str) -> MlflowException:
    """What a store raises, by its error code."""
    error = MlflowException(kind)
    error.error_code = kind
    return error


def raising(error: Exception) -> Fault:
    def fault(*_: Any, **__: Any) -> None:
        raise error

    return fault


def entry(ledger: Any, kind: Any = "promotion", version: int = 1, by: str = "me") -> Entry:
    return Entry(
        kind=kind, version=version, over=None, at="2026-01-01T00:00:00+00:00", by=by,
        process="here/1/2", nonce=f"{by}{len(ledger.entries)}", previous=ledger.head,
    )  # fmt: skip


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def kept(client: Client) -> LedgerRun:
    return LedgerRun(client, "quantgod", "Production")  # type: ignore[arg-type]


def test_what_is_appended_is_read_again_from_one_run_in_the_ledgers_experiment(
    client: Client, kept: LedgerRun
) -> None:
    ledger = kept.read()
    assert (ledger.title, ledger.entries, ledger.head) == (TITLE, (), digest_of(TITLE))
    assert client.experiments == {}, "reading writes nothing"
    for kind in ("promotion", "done", "rollback"):
        ledger = kept.append(ledger, entry(ledger, kind))
        assert kept.read() == ledger
    (run,) = client.runs.values()
    texts = [text_of(one) for one in ledger.entries]
    assert run.data.params == dict(zip(("000001", "000002", "000003"), texts, strict=True))
    assert run.data.tags[HEAD_TAG] == head_text(3, texts[2])
    assert ledger.head == digest_of(texts[2])
    assert (run.info.run_name, run.info.status) == (TITLE, "FINISHED")
    named, home = client.experiments[f"{LEDGERS}/{TITLE}"], client.experiments[LEDGERS]
    assert named.tags[LEDGER_TAG] == run.info.run_id and TITLE in named.tags[NOTE_TAG]
    assert (home.tags, home.experiment_id) == ({NOTE_TAG: NOTE}, run.info.experiment_id)


@pytest.mark.parametrize("before", [0, 1])
def test_of_two_that_append_the_same_entry_the_later_is_told_of_the_first(
    kept: LedgerRun, before: int
) -> None:
    ledger = kept.read()
    for _ in range(before):
        ledger = kept.append(ledger, entry(ledger, "found"))
    first = kept.append(ledger, entry(ledger, by="one"))
    with pytest.raises(ConcurrentPromotionError, match=f"{TITLE}: another was first: promotion of"):
        kept.append(ledger, entry(ledger, by="other"))
    assert kept.read() == first


@pytest.mark.parametrize("before", [0, 1])
def test_an_entry_whose_answer_was_lost_is_appended_if_it_is_there(
    client: Client, kept: LedgerRun, before: int
) -> None:
    ledger = kept.read()
    for _ in range(before):
        ledger = kept.append(ledger, entry(ledger, "found"))
    client.after["log_param"] = raising(out_of("TEMPORARILY_UNAVAILABLE"))
    assert kept.append(ledger, entry(ledger)) == kept.read()
    assert len(kept.read().entries) == before + 1


def test_an_entry_that_is_not_there_raises_what_the_store_has_said(
    client: Client, kept: LedgerRun
) -> None:
    ledger = kept.append(kept.read(), entry(kept.read(), "found"))
    client.before["log_param"] = raising(out_of("TEMPORARILY_UNAVAILABLE"))
    with pytest.raises(MlflowException, match="TEMPORARILY_UNAVAILABLE"):
        kept.append(ledger, entry(ledger))
    assert kept.read() == ledger


def test_a_head_that_lags_behind_hides_nothing(client: Client, kept: LedgerRun) -> None:
    ledger = kept.append(kept.read(), entry(kept.read(), "found"))
    client.before["set_tag"] = raising(out_of("TEMPORARILY_UNAVAILABLE"))
    assert kept.append(ledger, entry(ledger)) == kept.read()
    del client.runs["run0"].data.params["000001"], client.runs["run0"].data.params["000002"]
    with pytest.raises(LedgerError, match="entry 000001 was there, and is missing"):
        kept.read()


def test_a_deleted_ledger_is_told_and_a_store_out_of_order_is_not_one(
    client: Client, kept: LedgerRun
) -> None:
    kept.append(kept.read(), entry(kept.read()))
    client.before["get_run"] = raising(out_of("TEMPORARILY_UNAVAILABLE"))
    with pytest.raises(MlflowException, match="TEMPORARILY_UNAVAILABLE"):
        kept.read()
    client.before.clear()
    client.delete_run("run0")
    with pytest.raises(LedgerError, match="the ledger was deleted: restore run run0"):
        kept.read()
    client.runs.clear()
    with pytest.raises(LedgerError, match="the ledger was deleted: RESOURCE_DOES_NOT_EXIST"):
        kept.read()


@pytest.mark.parametrize("spoilt", [{"tags": {}}, {"lifecycle_stage": "deleted"}])
def test_an_experiment_that_was_deleted_or_changed_is_no_empty_ledger(
    client: Client, kept: LedgerRun, spoilt: dict[str, Any]
) -> None:
    kept.append(kept.read(), entry(kept.read()))
    vars(client.experiments[f"{LEDGERS}/{TITLE}"]).update(spoilt)
    with pytest.raises(LedgerError, match=f"the experiment {LEDGERS}/{TITLE} was deleted"):
        kept.read()


def test_who_is_second_to_name_a_run_takes_the_one_that_was_named(
    client: Client, kept: LedgerRun
) -> None:
    def faster(name: str, tags: dict[str, str]) -> None:
        if name != LEDGERS:
            client.before.clear()
            other.append(other.read(), entry(other.read(), by="the first"))

    other = LedgerRun(client, "quantgod", "Production")  # type: ignore[arg-type]
    client.before["create_experiment"] = faster
    with pytest.raises(ConcurrentPromotionError, match="by the first"):
        kept.append(kept.read(), entry(kept.read(), by="the second"))
    stages = {name: run.info.lifecycle_stage for name, run in client.runs.items()}
    assert stages == {"run0": "deleted", "run1": "active"}
    assert kept.read().entries[0].by == "the first"


def test_who_has_named_a_run_and_lost_the_answer_keeps_it(client: Client, kept: LedgerRun) -> None:
    client.after["create_experiment"] = raising(out_of("TEMPORARILY_UNAVAILABLE"))
    ledger = kept.append(kept.read(), entry(kept.read()))
    assert kept.read() == ledger
    assert [run.info.lifecycle_stage for run in client.runs.values()] == ["active"]


@pytest.mark.parametrize("name", [LEDGERS, f"{LEDGERS}/{TITLE}"])
def test_an_experiment_that_cannot_be_made_raises_what_the_store_has_said(
    client: Client, kept: LedgerRun, name: str
) -> None:
    def refuse(asked: str, tags: dict[str, str]) -> None:
        if asked == name:
            raise out_of("TEMPORARILY_UNAVAILABLE")

    client.before["create_experiment"] = refuse
    with pytest.raises(MlflowException, match="TEMPORARILY_UNAVAILABLE"):
        kept.append(kept.read(), entry(kept.read()))
