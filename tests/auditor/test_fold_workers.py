"""Folds side by side have the bits of folds one after the other, and no failure passes unseen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch

from quantgod.auditor import fold_workers
from quantgod.auditor.fold_workers import FoldError, fold_places, train_folds
from quantgod.auditor.learner import Learner
from quantgod.auditor.reports import FoldReport, Hooks
from quantgod.contracts import Series
from quantgod.dataset.learning_table import learned_from
from quantgod.dataset.table import write_table
from quantgod.forecasters.base_model import TrainedBase, train_base
from quantgod.forecasters.base_training import BaseTrainingError, train_base_where_asked
from quantgod.parallel.heartbeat import Message, Reporter
from quantgod.parallel.work import ClusterError, Crash, TaskResult, Workers
from quantgod.settings import with_values
from quantgod.training.reports import Epoch
from tests.auditor.markets import market, recipe, settings

HERE = {"train.workers": 1}


class Heard:
    """What a walk over folds tells."""

    def __init__(self) -> None:
        self.epochs: list[tuple[int, int]] = []
        self.folds: list[FoldReport] = []
        self.notes: list[str] = []

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            on_epoch=lambda fold, epoch: self.epochs.append((fold, epoch.epoch)),
            on_fold=self.folds.append,
            progress=lambda done, total, note: self.notes.append(f"{done}/{total} {note}"),
        )


class Folds:
    """A small market whose base model is trained, and its folds one after the other."""

    def __init__(self, folder: Path) -> None:
        of, how = market(3_000, 10, signal=0.7), recipe()
        self.labels = folder / "labels.parquet"
        write_table(self.labels, of.table, Series("BTCUSDT", "linear"))
        self.inputs = {"labels": self.labels}
        sections = {"model": how.model, "train": how.train, "audit": how.audit, "split": how.split}
        window = settings().window.model_copy(update={"length": how.window, "stride": 10})
        audit = how.audit.model_copy(update={"stride": 10})
        given = settings().model_copy(update=sections | {"window": window, "audit": audit})
        self.settings = with_values(given, {"train.epochs": 2, "train.threads": 0} | HERE)
        self.learned = learned_from(self.inputs)
        self.base: TrainedBase = train_base(self.learned.table, self.settings)
        self.rows, self.heard = self.walk(folder / "one by one")

    def walk(self, work: Path, **train: object) -> tuple[pd.DataFrame, Heard]:
        heard, own = (
            Heard(),
            with_values(self.settings, {f"train.{k}": v for k, v in train.items()}),
        )
        learner = Learner(self.learned, own, work, heard.hooks, self.inputs)
        return learner.walk(self.base.network).rows, heard


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Folds:
    return Folds(tmp_path_factory.mktemp("folds"))


@pytest.mark.long
def test_a_cluster_gives_the_same_bits_of_folds_and_of_the_base(
    folds: Folds, scheduler: str, tmp_path: Path
) -> None:
    rows, heard = folds.walk(tmp_path / "folds", scheduler=scheduler)
    pd.testing.assert_frame_equal(rows, folds.rows, check_exact=True)
    assert sorted(heard.epochs) == sorted(folds.heard.epochs)

    own = with_values(folds.settings, {"train.scheduler": scheduler, "train.threads": 1})
    told: list[Epoch] = []
    there = (tmp_path / "base", told.append, heard.hooks.progress)
    base = train_base_where_asked(folds.learned, folds.inputs, own, *there)
    one = folds.base.network.model.state_dict()
    for name, weights in base.network.model.state_dict().items():
        assert torch.equal(weights, one[name]), name
    said = (base.forecast.probabilities, folds.base.forecast.probabilities)
    assert (said[0] == said[1]).all()
    assert tuple(told) == base.fit.history and len(told) == 2

    missing = {"labels": tmp_path / "none.parquet"}
    with pytest.raises(BaseTrainingError, match=r"none\.parquet.*its checkpoint is kept"):
        train_base_where_asked(folds.learned, missing, own, *there)


@pytest.mark.long
def test_a_scheduler_that_is_away_is_told(
    folds: Folds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantgod.parallel import cluster  # noqa: PLC0415  (imports Dask)

    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.3)
    with pytest.raises(ClusterError, match="no Dask scheduler answers at tcp://127"):
        folds.walk(tmp_path, scheduler="tcp://127.0.0.1:9")


def dies_once(number: int, job: fold_workers._Job) -> None:
    """Train a fold, but be killed in its second epoch the first time."""

    def told(self: Reporter, message: Message) -> None:
        if message.get("epoch", {}).get("epoch") == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        if number == 2 and not (marker := job.work.with_name("died")).exists():
            marker.touch()
            patch.setattr(Reporter, "report", told)
        train_one(number, job)


train_one = fold_workers._train


@pytest.mark.long
def test_a_killed_process_is_told_and_the_same_call_goes_on_to_the_bits_of_one_by_one(
    folds: Folds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_workers, "_train", dies_once)
    told = (
        r"folds 1, 2, 3 was killed .*fewer train\.workers; finished folds and checkpoints are kept"
    )
    with pytest.raises(FoldError, match=told):
        folds.walk(tmp_path / "work", workers=2)
    rows, heard = folds.walk(tmp_path / "work", workers=2)
    pd.testing.assert_frame_equal(rows, folds.rows, check_exact=True)
    assert (2, 0) not in heard.epochs and (2, 2) in heard.epochs, "it did not begin anew"
    assert any(" fold 2/3: epoch " in note for note in heard.notes)
    for report, one in zip(heard.folds, folds.heard.folds, strict=True):
        scores = [[epoch["score"] for epoch in each.history] for each in (report, one)]
        assert scores[0] == scores[1] and len(scores[0]) == 3, "of a killed fold too"
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"died", "rows.parquet"}
    again, reused = folds.walk(tmp_path / "work", workers=2)
    pd.testing.assert_frame_equal(again, rows, check_exact=True)
    assert reused.epochs == [] and all(report.reused for report in reused.folds)


def test_a_single_fold_is_left_to_this_process_unless_there_is_a_cluster(
    folds: Folds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Workers] = []

    def nothing(_work: object, _numbers: object, places: Workers) -> Iterator[object]:
        asked.append(places)
        yield from ()

    monkeypatch.setattr(fold_workers, "run_all", nothing)
    for places in (Workers(2), Workers(0, "tcp://there:1")):
        train_folds([3], folds.inputs, recipe(), tmp_path, places, Hooks())
    assert asked == [Workers(0, "tcp://there:1")]


def test_a_fold_that_fails_is_named(
    folds: Folds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_fails(_work: object, numbers: list[int], _places: Workers) -> Iterator[object]:
        assert numbers == [3, 2, 1], "the longest first"
        yield TaskResult(3, None)
        yield TaskResult(2, Crash("ValueError: nothing is learned from this", ""))
        raise AssertionError("nobody waits for the others")

    monkeypatch.setattr(fold_workers, "run_all", one_fails)
    with pytest.raises(FoldError, match="fold 2: ValueError: nothing is learned from this; finish"):
        folds.walk(tmp_path, workers=2)
    assert list((tmp_path / "folds").iterdir()) == [], "the folder in which workers tell is gone"


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({}, Workers(8)),
        ({"train.threads": 4}, Workers(2)),
        ({"train.threads": 8}, None),
        ({"train.workers": 1}, None),
        ({"train.workers": 3, "train.threads": 8}, Workers(3)),
        ({"train.scheduler": "tcp://there:1", "train.workers": 1}, Workers(0, "tcp://there:1")),
    ],
)
def test_folds_have_as_many_processes_as_asked_or_as_their_threads_leave_cores_for(
    given: dict[str, object], places: Workers | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_workers.joblib, "cpu_count", lambda: 8)
    own = with_values(settings(), given)
    assert fold_places(own.train) == places
