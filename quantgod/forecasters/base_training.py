"""Train the base model where the settings say: in this process, or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from quantgod.contracts import Progress
from quantgod.dataset.learning_table import LearnedFrom, learned_from
from quantgod.forecasters.base_model import TrainedBase, train_base
from quantgod.parallel.heartbeat import Message, Reporter, listening
from quantgod.parallel.work import Crash, Workers, run_all
from quantgod.settings import Settings
from quantgod.training.devices import with_threads
from quantgod.training.reports import Epoch, OnEpoch

CHECKPOINT: Final = "checkpoint.safetensors"


class BaseTrainingError(RuntimeError):
    """A base model could not be trained on a cluster; names the reason."""


@dataclass(frozen=True)
class _Job:
    """What a worker must know: paths of the inputs, settings, and where to write and tell."""

    inputs: tuple[tuple[str, Path], ...]
    settings: Settings
    work: Path
    place: Path


def train_base_where_asked(
    learned: LearnedFrom,
    inputs: Mapping[str, Path] | None,
    settings: Settings,
    work: Path,
    on_epoch: OnEpoch,
    progress: Progress,
) -> TrainedBase:
    """Train as `train_base` does, on the cluster of `train.scheduler` if there is one.

    Args:
        learned: what `learned_from` has read from the inputs.
        inputs: paths that a cluster's workers see too; None for this process.
        settings: window, split, model and train are read.
        work: folder of the checkpoint, which a cluster's workers see too.
        on_epoch: called after each epoch.
        progress: called after batches.

    Raises:
        ValueError: as `train_base`.
        BaseTrainingError: if it failed on the cluster.
        ClusterError: if the scheduler does not answer, has no worker, or is lost.
    """
    if inputs is not None and settings.train.scheduler is not None:
        paths = tuple((name, path.resolve()) for name, path in sorted(inputs.items()))
        return _on_cluster(paths, settings, work.resolve(), on_epoch, progress)
    return train_base(
        learned.table, settings,
        blocks=learned.blocks, checkpoint=work / CHECKPOINT, on_epoch=on_epoch, progress=progress,
    )  # fmt: skip


def _on_cluster(
    inputs: tuple[tuple[str, Path], ...],
    settings: Settings,
    work: Path,
    on_epoch: OnEpoch,
    progress: Progress,
) -> TrainedBase:
    def hear(message: Message) -> None:
        if "epoch" in message:
            on_epoch(Epoch(**message["epoch"]))
        else:
            progress(message["done"], message["total"], message["note"])

    places = Workers(0, settings.train.scheduler)
    with listening(work, hear) as place:
        job = _Job(inputs, settings, work, place)
        with closing(run_all(partial(_train, job=job), ["base"], places)) as made:
            (done,) = made
    if isinstance(done.result, Crash):
        raise BaseTrainingError(
            f"{done.result.error}; its checkpoint is kept, and the same command goes on from there"
        )
    return done.result


def _train(name: str, job: _Job) -> TrainedBase:
    reporter = Reporter(job.place, name)

    def progress(done: int, total: int, note: str) -> None:
        reporter.report_now_and_then({"done": done, "total": total, "note": note})

    table, blocks = learned_from(dict(job.inputs))
    with with_threads(job.settings.train.threads):
        return train_base(
            table, job.settings,
            blocks=blocks, checkpoint=job.work / CHECKPOINT, progress=progress,
            on_epoch=lambda epoch: reporter.report({"epoch": epoch.to_json()}),
        )  # fmt: skip
