"""The whole pipeline in small: the project's own code from labels to forecasts, with its traces.

Window, labels, splits, loss and booster are those of the lineage; the network is of its
architecture and tiny, and the stride is long, so that it can be made many times over. Work folders
are fresh each time: a fold found finished would hide what made it. On the CPU the same data give
the same bits; on CUDA they need not, so none is used.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.auditor.audit import CALIBRATION, FIT, STOPPING, AuditResult, audit
from quantgod.auditor.out_of_fold import Recipe
from quantgod.auditor.reports import Hooks
from quantgod.contracts import FEATURES, META_FEATURES
from quantgod.dataset.labels import label
from quantgod.dataset.splits import split_test
from quantgod.dataset.windows import samples
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluated import Evaluated
from quantgod.evaluation.leakage.borders import Borders, borders_of
from quantgod.evaluation.leakage.perturbation import known_at
from quantgod.evaluation.leakage.trace import Evidence, Trace, fitted_piece, rows_of
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.scored_rows import COLUMNS
from quantgod.settings import Settings
from quantgod.training.base_model import TrainedBase, train_base
from quantgod.training.reports import Epoch

OF_THE_LABEL: Final = ("time", "label_end", "target", "forward_return")
"""Columns of scored rows that are no forecast."""


class Made(NamedTuple):
    """A trace, and the auditor's rows as `audit` keeps them."""

    trace: Trace
    rows: pd.DataFrame


def in_small(settings: Settings) -> Settings:
    """The lineage's settings with the leak audit's stride, epochs and network; on the CPU."""
    small = settings.leak_audit
    epochs = {"epochs": small.epochs}
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"params": small.params}),
            "window": settings.window.model_copy(update={"stride": small.stride}),
            "audit": settings.audit.model_copy(update=epochs | {"stride": small.stride}),
            "train": settings.train.model_copy(update=epochs | {"device": "cpu"}),
            "evaluate": settings.evaluate.model_copy(update={"stride": small.stride}),
        }
    )


def newest(bars: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The bars that are audited: the newest `leak_audit.minutes` of them."""
    return bars.iloc[-settings.leak_audit.minutes :]


def make(bars: pd.DataFrame, settings: Settings) -> Made:
    """Run labels → base model → folds → out of fold → auditor → calibrator → sets → test.

    Args:
        bars: the nine features and `close`, UTC index.
        settings: what `in_small` gives.

    Raises:
        ValueError: if there are too few bars for a part.
        ProvenanceError: if the pipeline itself finds that a row has seen its future.
    """
    window, stride = settings.window.length, settings.window.stride
    borders = borders_of(pd.DatetimeIndex(bars.index), settings)
    table = label(bars, settings.label, settings.etl.max_bridge_minutes)
    base = train_base(table, settings)
    taken = samples(table, window, stride)
    split = split_test(taken, settings.split)
    recipe = Recipe(settings.model, settings.train, settings.audit, settings.split, window)
    epochs: list[tuple[int, Epoch]] = []
    hooks = Hooks(on_epoch=lambda fold, epoch: epochs.append((fold, epoch)))
    with tempfile.TemporaryDirectory(prefix="quantgod-") as work:
        audited = audit(table, taken, split.train, recipe, Path(work), hooks)
    train = settings.train
    subject = NetworkSubject("", base.network, audited.auditor, train.batch_size, train.device)
    evaluated = evaluate(subject, table, audited.rows, settings)
    trace = {
        **_of_table(table, borders),
        **_of_base(base, borders),
        "fold models": _of_folds(epochs, borders),
        **_of_auditor(audited, borders),
        **_of_evaluation(evaluated, borders),
    }
    return Made(trace, audited.rows)


def _of_table(table: pd.DataFrame, borders: Borders) -> Trace:
    """A bar is known at its close; a label at the close of the minute that it ends with."""
    known = known_at(pd.DatetimeIndex(table.index))
    label_end = table["label_end"].dt.as_unit("ms").astype("int64").to_numpy()
    said = [table[name].to_numpy() for name in ("forward_return", "target")]
    return {
        "features": rows_of(known, table[[*FEATURES, "close", "run"]].to_numpy(np.float64)),
        "labels": rows_of(known + borders.horizon, *said, label_end),
    }


def _of_base(base: TrainedBase, borders: Borders) -> Trace:
    """Scaler, and weights with what they scored on the part that stopped them."""
    scaler = base.network.scaler
    weights = [tensor.numpy().tobytes() for tensor in base.network.model.state_dict().values()]
    scores = [_scores(epoch) for epoch in base.fit.history]
    until_validation = borders.inputs_known_by(borders.validation)
    return {
        "scaler": fitted_piece(until_validation, scaler.mean.tobytes(), scaler.std.tobytes()),
        "base model": fitted_piece(borders.known_by(borders.test), *weights, _text(scores)),
    }


def _of_folds(epochs: list[tuple[int, Epoch]], borders: Borders) -> Evidence:
    """What each fold's model scored, epoch by epoch, on what it learned from and was stopped by.

    Its forecasts alone would hide that it was stopped by labels it must not know: mostly the same
    epoch is the best one.
    """
    known = np.array([borders.known_by(borders.folds[fold - 1]) for fold, _ in epochs])
    return rows_of(known, np.array([_scores(epoch) for _, epoch in epochs]))


def _scores(epoch: Epoch) -> tuple[float, float, float]:
    return epoch.train_loss, epoch.validation_loss, epoch.score


def _of_auditor(audited: AuditResult, borders: Borders) -> Trace:
    """A forecast out of fold is known with its window; the model behind it was before."""
    rows, booster, calibrator = audited.rows, audited.boosting, audited.auditor.calibrator
    said = rows[[*META_FEATURES, "weight", "fold"]].to_numpy(np.float64)
    until = rows["trained_until"].dt.as_unit("ms").astype("int64").to_numpy()
    losses = _text([booster.fit_loss, booster.stopping_loss])
    trees = bytes(booster.booster.save_raw("ubj"))
    map_ = _text([calibrator.slope, calibrator.intercept, calibrator.reason])
    until_calibration, until_test = map(borders.known_by, (borders.calibration, borders.test))
    return {
        "out of fold": rows_of(known_at(pd.DatetimeIndex(rows["time"])), said, until),
        "booster": fitted_piece(until_calibration, trees, losses, _used(rows, FIT, STOPPING)),
        "calibrator": fitted_piece(until_test, map_, _used(rows, CALIBRATION)),
    }


def _used(rows: pd.DataFrame, *parts: str) -> bytes:
    """The rows that something was fitted on: it may stay as it was though they changed.

    A calibrator that lacks a class is the identity, and a tree may not split on what differs.
    """
    used = rows.loc[rows["part"].isin(parts), [*META_FEATURES, "target", "weight"]]
    return used.to_numpy(np.float64).tobytes()


def _of_evaluation(evaluated: Evaluated, borders: Borders) -> Trace:
    """What everyone says of the test part, baselines too, and what a trader would do."""
    rows, threshold = evaluated.rows, np.float64(evaluated.result.coverage.threshold)
    forecasts = [name for name in COLUMNS if name not in OF_THE_LABEL]
    said = rows[forecasts].to_numpy(np.float64)
    return {
        "conformal threshold": fitted_piece(borders.known_by(borders.test), threshold.tobytes()),
        "test forecasts": rows_of(known_at(pd.DatetimeIndex(rows["time"])), evaluated.meta, said),
    }


def _text(value: object) -> bytes:
    """Numbers as JSON, which gives every bit of them."""
    return json.dumps(value).encode()
