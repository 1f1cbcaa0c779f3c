"""Train base models walk-forward, and forecast the minutes after their training data.

In each fold a new base model is trained, with its own scaler and early stopping on the newest part
of its training rows, and then forecasts the minutes that follow. A fold's result is a Parquet file
in a folder named by a digest of its data, settings and code. So a killed audit resumes with the
fold it was in, and a change of any of these trains again. Other folders are not touched and may be
deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import torch

from quantgod.auditor.auditor_input import AuditorInput
from quantgod.auditor.meta_features import MetaFeatures, meta_features
from quantgod.auditor.provenance import assert_provenance
from quantgod.auditor.reports import UNHEARD, FoldReport, Hooks
from quantgod.contracts import Integers
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.inputs import Inputs
from quantgod.dataset.learning_table import LearnedFrom
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import Split, folds, split_test, split_validation, uniqueness
from quantgod.files import atomic_path, tree_digest, value_digest
from quantgod.models import zoo
from quantgod.settings import AuditSettings, ModelSettings, SplitSettings, TrainSettings
from quantgod.training.checkpoints import array_digest
from quantgod.training.devices import with_threads
from quantgod.training.fitting import fit_network
from quantgod.training.identity import NOT_OF_THE_RUN, books_digest
from quantgod.training.material import Material, material
from quantgod.training.reports import Fit

ROWS_FILE: Final = "rows.parquet"
CODE: Final = (
    "dataset/*.py",
    "models/*.py",
    "training/**/*.py",
    "auditor/auditor_input.py",
    "auditor/meta_features.py",
    "contracts/forecast.py",
    "served/calibration.py",
)
"""The source files that determine a fold's rows, beside this file."""


@dataclass(frozen=True)
class Recipe:
    """The settings of the base models of all folds, and of how the folds are cut.

    Attributes:
        book: snapshots of a block and levels a side, for networks that look at the book.
    """

    model: ModelSettings
    train: TrainSettings
    audit: AuditSettings
    split: SplitSettings
    window: int
    book: tuple[int, int] | None = None

    @property
    def inputs(self) -> Inputs:
        """Return what the networks look at."""
        return zoo.inputs(self.model.name, self.window, self.book)

    def fold_training(self, fold: int) -> TrainSettings:
        """Return the training settings of one fold: the audit's epochs, and the fold's own seed.

        Folds have one thread each unless the settings say otherwise, whether or not they are
        trained side by side.
        """
        own = {
            "epochs": self.audit.epochs,
            "seed": self.train.seed + fold,
            "threads": self.train.threads or 1,
        }
        return self.train.model_copy(update=own)


@dataclass(frozen=True, eq=False)
class FoldMaterial:
    """What folds are made of.

    Attributes:
        learned: the labelled table, of which only the columns of the recipe's inputs are read, and
            the blocks of its rows' books for networks that look at them.
        samples: of that table, with the recipe's window.
        split: their positions; `train` is dev, in order of time, and `other` is not used.
        recipe: model, training, audit and folds.
    """

    learned: LearnedFrom
    samples: Samples
    split: Split
    recipe: Recipe

    def parts(self) -> Iterator[FoldParts]:
        """Cut dev into folds, and each fold's training side into fit and stopping parts.

        Raises:
            EmptyPartError: if dev is too short for the folds.
        """
        taken, recipe = self.samples, self.recipe
        stopping = recipe.audit.stopping_fraction
        for split in folds(taken, self.split.train, recipe.split):
            inner = split_validation(taken, split.train, stopping, recipe.split)
            parts = (inner.train, inner.other, split.other)
            yield FoldParts(*(taken.take(index) for index in parts))


class FoldParts(NamedTuple):
    """The samples that a fold's network is fitted on, stopped by, and forecasts."""

    fitted: Samples
    stopping: Samples
    forecast: Samples


def fold_material(learned: LearnedFrom, recipe: Recipe) -> FoldMaterial:
    """Return what the folds of a recipe are made of.

    Raises:
        EmptyPartError: if there are too few rows for the test part.
    """
    taken = samples(learned.table, recipe.window, recipe.audit.stride)
    return FoldMaterial(learned, taken, split_test(taken, recipe.split), recipe)


TrainFolds = Callable[[Sequence[int]], None]
"""Trains folds of these numbers somewhere else, by `train_fold`; what it leaves is trained here."""


def out_of_fold(
    of: FoldMaterial, work: Path, hooks: Hooks = UNHEARD, elsewhere: TrainFolds | None = None
) -> pd.DataFrame:
    """Forecast dev, fold by fold, with models trained only on earlier rows.

    Args:
        of: what the folds are made of.
        work: folder for checkpoints and finished folds.
        hooks: called with epochs, folds and progress.
        elsewhere: trains folds side by side; None for one after the other in this process.

    Returns:
        The columns `OOF_COLUMNS` and `SPOKEN`: a row for each sample from the second part of dev
        on, in order of time, checked by `assert_provenance`.

    Raises:
        ValueError: if dev is too short for the folds.
        ProvenanceError: if a row's model was trained on data at or after the row, which would be a
            defect of this code.
    """
    parts, planned = [], list(_planned(of))
    missing = [fold.number for fold in planned if not fold.finished(work).exists()]
    if elsewhere is not None and missing:
        elsewhere(missing)
    for fold in planned:
        frame, report = fold.result(work, hooks.of_fold(fold.number, of.recipe.split.folds))
        hooks.on_fold(replace(report, reused=fold.number not in missing))
        parts.append(frame)
    joined = pd.concat(parts, ignore_index=True)
    assert_provenance(joined)
    return joined


def train_fold(number: int, of: FoldMaterial, work: Path, hooks: Hooks = UNHEARD) -> None:
    """Train one fold and keep its rows in the work folder, where `out_of_fold` finds them.

    Args:
        number: of the fold, from 1.
        of: what the folds are made of.
        work: folder for the checkpoint and the rows.
        hooks: called with epochs and progress.

    Raises:
        ValueError: as `out_of_fold`.
    """
    for fold in _planned(of):
        if fold.number == number:
            fold.result(work, hooks)


def _planned(of: FoldMaterial) -> Iterator[_Fold]:
    """Return the folds with all that they are made of."""
    features = of.learned.table.loc[:, list(of.recipe.inputs.columns)]
    for number, part in enumerate(of.parts(), start=1):
        rows = features.iloc[: part.forecast.row.max() + 1]
        yield _Fold(number, *part, rows, of.recipe, of.learned.blocks)


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold: its fit, stopping and forecast samples, and the table's rows up to the last one."""

    number: int
    fitted: Samples
    stopping: Samples
    forecast: Samples
    features: pd.DataFrame
    recipe: Recipe
    blocks: BookBlocks | None

    @property
    def trained_until(self) -> pd.Timestamp:
        seen = (self.fitted.reach_ms.max(), self.stopping.reach_ms.max())
        return pd.Timestamp(int(max(seen)), unit="ms", tz="UTC")

    def finished(self, work: Path) -> Path:
        """Return the file that the fold's rows are in once it is trained."""
        return work / f"fold-{self.number}-{self._key[:16]}" / ROWS_FILE

    def result(self, work: Path, hooks: Hooks) -> tuple[pd.DataFrame, FoldReport]:
        """Return the fold's rows, from the work folder if they are there, else newly made."""
        finished = self.finished(work)
        if not finished.exists():
            checkpoint, settings = self._checkpoint(work), self.recipe.fold_training(self.number)
            with with_threads(settings.threads):
                _write(finished, *self._made(checkpoint, settings, hooks))
            checkpoint.unlink(missing_ok=True)
        frame, report = _read(finished)
        return frame, FoldReport(**report)

    def _checkpoint(self, work: Path) -> Path:
        return self.finished(work).with_name("checkpoint.safetensors")

    def _made(
        self, checkpoint: Path, settings: TrainSettings, hooks: Hooks
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        made = material(self.features, self.fitted, self.recipe.inputs, self.blocks)
        module, ended = self._trained(made, settings, checkpoint, hooks)
        seen = meta_features(
            module,
            self.features.to_numpy(np.float64),
            self.forecast.row,
            self.recipe.window,
            settings.batch_size,
            book=None if made.book is None else made.book.stored,
            device=settings.device,
            progress=hooks.progress,
        )
        report = {
            "fold": self.number,
            "fit": len(self.fitted),
            "stopping": len(self.stopping),
            "forecast": len(self.forecast),
            "trained_until": self.trained_until.isoformat(),
            "best_epoch": ended.best_epoch,
            "best_score": ended.best_score,
            "scaler": {"mean": module.mean.tolist(), "std": module.std.tolist()},
            "history": [epoch.to_json() for epoch in ended.history],
        }
        return self._frame(seen), report

    def _trained(
        self, made: Material, settings: TrainSettings, checkpoint: Path, hooks: Hooks
    ) -> tuple[MetaFeatures, Fit]:
        network, objective, ended = fit_network(
            self.recipe.model,
            settings,
            made.views,
            self.fitted,
            self.stopping,
            checkpoint=checkpoint,
            on_epoch=lambda epoch: hooks.on_epoch(self.number, epoch),
            progress=hooks.progress,
        )
        scaler, views = made.scaler, self.recipe.inputs.views
        weights = objective.class_weights
        module = MetaFeatures(network, scaler.mean, scaler.std, views, weights)
        return module, ended

    def _frame(self, seen: AuditorInput) -> pd.DataFrame:
        return seen.frame().assign(
            target=self.forecast.target,
            time=_utc(self.forecast.time_ms),
            label_end=_utc(self.forecast.label_end_ms),
            fold=np.int64(self.number),
            trained_until=self.trained_until,
            weight=uniqueness(self.forecast),
        )

    @cached_property
    def _key(self) -> str:
        """Return the digest of all that the fold's rows depend on, except the machine."""
        training = self.recipe.fold_training(self.number)
        settings = [
            self.recipe.model.model_dump(mode="json"),
            training.model_dump(mode="json", exclude=NOT_OF_THE_RUN),
            self.recipe.window,
            torch.__version__,
        ]
        data = [
            array_digest(getattr(part, field))
            for part in (self.fitted, self.stopping, self.forecast)
            for field in ("row", "time_ms", "label_end_ms", "reach_ms", "target")
        ]
        bars = array_digest(self.features.to_numpy(np.float64))
        books = None if self.blocks is None else books_digest(self.blocks, self.features)
        return value_digest([settings, data, bars, books, _code_digest()])


@cache
def _code_digest() -> str:
    package = Path(__file__).parents[1]
    sources = [path for pattern in CODE for path in package.glob(pattern)]
    return tree_digest(package, [*sources, Path(__file__)])


def _write(path: Path, frame: pd.DataFrame, report: dict[str, Any]) -> None:
    frame.attrs["report"] = report  # travels in the file's metadata
    with atomic_path(path) as part:
        frame.to_parquet(part)


def _read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    frame = pd.read_parquet(path)
    return frame, frame.attrs.pop("report")


def _utc(milliseconds: Integers) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(milliseconds.astype("datetime64[ms]"), tz="UTC")
