"""Train the folds of one network side by side: in processes of one machine, or on a Dask cluster.

Only paths and settings travel to a worker: it reads the table itself, and writes a fold's rows
where the command finds them. So a cluster's machines must see the same folders by the same paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import joblib

from quantgod.auditor.out_of_fold import Recipe, fold_material, train_fold
from quantgod.auditor.reports import Hooks
from quantgod.dataset.learning_table import LearnedFrom, learned_from
from quantgod.parallel.heartbeat import Message, Reporter, listening
from quantgod.parallel.work import ClusterError, Crash, Workers, run_all
from quantgod.settings import TrainSettings
from quantgod.training.devices import choose_device
from quantgod.training.reports import Epoch

_GO_ON: Final = "finished folds and checkpoints are kept, and the same command goes on from there"
_STEPS: Final = 1_000
"""Parts of a fold that its progress is told in."""


class FoldError(RuntimeError):
    """A fold could not be trained; names it, the reason and what to do."""


@dataclass(frozen=True)
class _Job:
    """What a worker must know: paths of the inputs, the recipe, and where to write and tell."""

    inputs: tuple[tuple[str, Path], ...]
    recipe: Recipe
    work: Path
    place: Path


def fold_places(train: TrainSettings) -> Workers | None:
    """Return where folds are trained; None for one after the other in this process.

    Raises:
        ValueError: if a device is asked for that is absent.
    """
    if train.scheduler is not None:
        return Workers(0, train.scheduler)
    if choose_device(train.device).type == "cuda":
        return None  # which they would only share
    count = train.workers or joblib.cpu_count() // (train.threads or 1)
    return Workers(count) if count > 1 else None


def train_folds(
    numbers: Sequence[int],
    inputs: Mapping[str, Path],
    recipe: Recipe,
    work: Path,
    places: Workers,
    hooks: Hooks,
) -> None:
    """Train folds side by side; a failure ends all of them.

    A single one is left to this process, unless there is a cluster.

    Args:
        numbers: of the folds, from 1; the newest, which are the longest, begin first.
        inputs: paths of `labels`, and of `features` and `snapshots` where the network looks.
        recipe: as in `out_of_fold`.
        work: folder for checkpoints and finished folds.
        places: processes or a cluster.
        hooks: called with epochs as they end, and with the progress of all folds together.

    Raises:
        FoldError: naming a fold that failed, or a process that was killed.
        ClusterError: if the scheduler does not answer, has no worker, or is lost.
    """
    if len(numbers) == 1 and places.scheduler is None:
        return
    resolved = tuple((name, path.resolve()) for name, path in sorted(inputs.items()))
    with listening(work.resolve(), _FoldProgress(len(numbers), hooks).hear) as place:
        train = partial(_train, job=_Job(resolved, recipe, work.resolve(), place))
        try:
            with closing(run_all(train, sorted(numbers, reverse=True), places)) as made:
                for one in made:
                    if isinstance(one.result, Crash):
                        raise FoldError(f"fold {one.given}: {one.result.error}; {_GO_ON}")
        except (ClusterError, FoldError):
            raise
        except RuntimeError as error:  # a process was killed
            raise FoldError(
                f"a process that trained folds {', '.join(map(str, numbers))} was killed "
                f"({str(error).splitlines()[0]}): where memory ran out, give fewer train.workers; "
                f"{_GO_ON}"
            ) from error


class _FoldProgress:
    """Adds up the progress of all folds, and passes their epochs on."""

    def __init__(self, folds: int, hooks: Hooks) -> None:
        self._hooks, self._total = hooks, folds * _STEPS
        self._done: dict[int, int] = {}

    def hear(self, message: Message) -> None:
        fold = message["fold"]
        if "epoch" in message:
            self._hooks.on_epoch(fold, Epoch(**message["epoch"]))
            return
        self._done[fold] = message["done"]
        self._hooks.progress(sum(self._done.values()), self._total, message["note"])


def _train(number: int, job: _Job) -> None:
    """Train one fold in a worker."""
    reporter, recipe = Reporter(job.place, f"fold-{number}"), job.recipe

    def on_epoch(fold: int, epoch: Epoch) -> None:
        reporter.report({"fold": fold, "epoch": epoch.to_json()})

    def progress(done: int, total: int, note: str) -> None:
        part = _STEPS * done // max(1, total)
        reporter.report_now_and_then({"fold": number, "done": part, "note": note})

    made = fold_material(_read(job.inputs, job.place), recipe)
    hooks = Hooks(on_epoch=on_epoch, progress=progress).of_fold(number, recipe.split.folds)
    train_fold(number, made, job.work, hooks)


@lru_cache(maxsize=1)
def _read(inputs: tuple[tuple[str, Path], ...], _place: Path) -> LearnedFrom:
    """Read what folds learn from, once for all folds of a command in this process."""
    return learned_from(dict(inputs))
