"""Several stages side by side: found or made, as many at a time as asked, and ended together.

The processes are small scripts in the place of a stage's: they note when they begin and end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from quantgod.settings import Settings
from quantgod.tracking import side_by_side
from quantgod.tracking.pipeline import StageFailed
from quantgod.tracking.side_by_side import Job, run_side_by_side
from quantgod.tracking.stage import ERROR_TAG, MEMBER_TAG, run_name
from quantgod.tracking.store import connect

NOTE = """
import os, sqlite3, sys, time
def note(text):
    with open({notes!r}, "a") as out:
        out.write(text + "\\n")
def end(status):
    with sqlite3.connect({store!r}, timeout=60) as store:
        run = os.environ["MLFLOW_RUN_ID"]
        store.execute("UPDATE runs SET status = ? WHERE run_uuid = ?", (status, run))
note("begin {member}")
print("training", flush=True)
"""
WORKS = 'time.sleep({seconds}); note("end {member}"); end("FINISHED")'
FAILS = """
with sqlite3.connect({store!r}, timeout=60) as store:
    tag = ({error!r}, "no such network", os.environ["MLFLOW_RUN_ID"])
    store.execute("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tag)
end("FAILED"); sys.exit(1)
"""


class Scripts:
    """Scripts by member, which run in the place of stages, and what they have noted."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.notes = folder / "notes.txt"
        self.told: list[str] = []
        self.texts: dict[str, str] = {}
        self._settings = settings
        self._store = settings.tracking.uri.removeprefix("sqlite:///")

    def job(self, member: str, text: str, seconds: float = 0.3, epochs: int = 1) -> Job:
        """A job with a key of its own for each member."""
        values = {"member": member, "seconds": seconds, "store": self._store, "error": ERROR_TAG}
        self.texts[member] = (NOTE + text).format(notes=str(self.notes), **values)
        train = self._settings.train.model_copy(update={"epochs": epochs})
        return Job(member, self._settings.model_copy(update={"train": train}), Path("any.yaml"), {})

    def run(self, *jobs: Job, at_once: int = 2) -> dict[str, Run]:
        return run_side_by_side("train", jobs, at_once, self.told.append)

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def scripts(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scripts]:
    own = Scripts(tmp_path, settings)

    def command(_stage: str, job: Job) -> list[str]:
        return [sys.executable, "-S", "-c", own.texts[job.member]]

    monkeypatch.setattr(side_by_side, "_command", command)
    monkeypatch.setattr(side_by_side, "LOOK_SECONDS", 0.01)
    labels = settings.data.own_labels
    labels.parent.mkdir(parents=True)
    labels.write_bytes(b"labels")
    connect(settings.tracking)
    with mlflow.start_run():
        yield own


def test_they_are_children_that_name_their_member_and_so_does_each_line(
    scripts: Scripts, settings: Settings
) -> None:
    jobs = [scripts.job("fast", WORKS, epochs=1), scripts.job("deep", WORKS, epochs=2)]
    runs = scripts.run(*jobs)
    assert list(runs) == ["fast", "deep"]
    for name, run in runs.items():
        tags, parent = run.data.tags, mlflow.active_run()
        assert (tags[MEMBER_TAG], tags[MLFLOW_PARENT_RUN_ID]) == (name, parent.info.run_id)
        assert run.info.run_name == run_name("train", settings, name)
        assert run.info.run_name.startswith(f"train {name} BTCUSDT 20")
    assert set(scripts.told) == {"fast: training", "deep: training"}


@pytest.mark.long
@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_run_at_a_time_than_asked(scripts: Scripts, at_once: int) -> None:
    jobs = [scripts.job(f"m{number}", WORKS, epochs=number) for number in (1, 2, 3)]
    scripts.run(*jobs, at_once=at_once)
    running, most = 0, 0
    for line in scripts.noted():
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    assert (running, most) == (0, at_once)
    assert len(scripts.noted()) == 6


def test_members_that_come_to_the_same_have_one_run_and_an_equal_finished_one_is_taken(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, same = scripts.job("one", WORKS), scripts.job("same", WORKS)
    other = scripts.job("other", WORKS, epochs=2)
    first = scripts.run(one, other, same)
    assert first["one"].info.run_id == first["same"].info.run_id != first["other"].info.run_id
    assert sorted(scripts.noted()) == ["begin one", "begin other", "end one", "end other"]

    key = side_by_side.key_of(MlflowClient(), "train", one.settings, one.upstream)
    known = {key: first["one"]}
    monkeypatch.setattr(side_by_side, "finished_run", lambda _client, key: known.get(key))
    scripts.told.clear()
    second = scripts.run(one, same)
    assert second["one"].info.run_id == second["same"].info.run_id == first["one"].info.run_id
    assert len(scripts.noted()) == 4
    assert scripts.told == [f"one, same: unchanged since run {first['one'].info.run_id}, skipped"]


def children() -> list[psutil.Process]:
    return [
        child for child in psutil.Process().children() if "training" in " ".join(child.cmdline())
    ]


def statuses() -> dict[str, str]:
    experiment = mlflow.active_run().info.experiment_id
    runs = MlflowClient().search_runs([experiment], f"tags.`{MEMBER_TAG}` LIKE '%'")
    return {run.data.tags[MEMBER_TAG]: run.info.status for run in runs}


def test_when_one_fails_all_are_ended_and_its_words_are_told(scripts: Scripts) -> None:
    slow = scripts.job("slow", WORKS, seconds=60, epochs=1)
    broken, never = scripts.job("broken", FAILS, epochs=2), scripts.job("never", WORKS, epochs=3)
    begun = time.monotonic()
    with pytest.raises(StageFailed, match="broken: no such network"):
        scripts.run(slow, broken, never)
    assert time.monotonic() - begun < 30 and children() == []
    assert statuses() == {"slow": "KILLED", "broken": "FAILED"}
    assert "begin never" not in scripts.noted()


def test_a_process_that_ends_without_a_word_has_failed(scripts: Scripts) -> None:
    with pytest.raises(StageFailed, match="mute: failed before it could say why"):
        scripts.run(scripts.job("mute", "sys.exit(0)"))
    assert statuses() == {"mute": "FAILED"}


def test_ctrl_c_ends_all_of_them(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [scripts.job(f"m{number}", WORKS, seconds=60, epochs=number) for number in (1, 2)]

    def sleep(_seconds: float) -> None:
        if len(scripts.noted()) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(side_by_side, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(KeyboardInterrupt):
        scripts.run(*jobs)
    assert children() == []
    assert statuses() == {"m1": "KILLED", "m2": "KILLED"}
