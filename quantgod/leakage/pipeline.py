"""Run the project's whole pipeline in small, from labels to forecasts, and record traces.

Window, labels, splits, loss and booster are those of the lineage. The network has the same
architecture but is tiny, and the stride is long, so that it can be run many times. Work folders are
new each time: a fold found finished would hide how it was made. Only the CPU is used, where the
same data give the same bits.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from quantgod.auditor.audit import CALIBRATION, FIT, STOPPING, AuditResult
from quantgod.auditor.auditor_input import SPOKEN
from quantgod.auditor.ensemble_learner import EnsembleAudit, EnsembleLearner
from quantgod.auditor.learner import Learner
from quantgod.auditor.reports import FoldReport, Hooks
from quantgod.contracts import FEATURES, META_FEATURES, Booleans, Floats, Integers
from quantgod.dataset.book_blocks import BookBlocks, row_blocks
from quantgod.dataset.feature_table import features_of
from quantgod.dataset.labels import LABEL_COLUMNS, further_horizons, label, label_columns
from quantgod.dataset.learning_table import (
    LearnedFrom,
    whole_rows,
    with_blocks,
    with_features,
)
from quantgod.dataset.samples import SEEN, seen_rows
from quantgod.evaluation.ensemble_subject import EnsembleSubject
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.scored_rows import COLUMNS, columns_of
from quantgod.evaluation.subject import Subject
from quantgod.forecasters.base_model import TrainedBase
from quantgod.leakage.borders import (
    COMBINER,
    TEST_ROWS,
    WEIGHTS,
    Borders,
    borders_of,
    has_book,
    memory_of,
    networks_of,
    of_network,
)
from quantgod.leakage.perturbation import known_at
from quantgod.leakage.trace import StageValues, Trace, digests_of, fitted_piece, rows_of
from quantgod.served.blocks import VOLATILITY_ROWS
from quantgod.served.features import sets
from quantgod.served.rolling import deviation
from quantgod.settings import LeakAuditSettings, Settings, members_of, with_members
from quantgod.training.reports import Epoch

AT_ONCE: Final = 256
"""Blocks in memory at a time."""

OF_THE_LABEL: Final = ("time", "label_end", "target", "forward_return")
"""Columns of scored rows that are not forecasts."""


class UnevenFeaturesError(ValueError):
    """Features are missing where their stretch has enough past."""


class PipelineResult(NamedTuple):
    """The trace of a run, and the auditor's rows as `audit` keeps them."""

    trace: Trace
    rows: pd.DataFrame


def in_small(settings: Settings) -> Settings:
    """Return the lineage's settings with the leak audit's stride, epochs and network; on CPU.

    Each member of an ensemble has a network and epochs of its own, and the ensemble's stride.
    """
    small = _in_small(settings, settings.leak_audit)
    if settings.ensemble is None:
        return small
    audited = {
        name: _in_small(
            own, own.leak_audit.model_copy(update={"stride": settings.leak_audit.stride})
        )
        for name, own in members_of(settings).items()
    }
    return with_members(small, audited)


def _in_small(settings: Settings, small: LeakAuditSettings) -> Settings:
    epochs = {"epochs": small.epochs}
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"params": small.params}),
            "window": settings.window.model_copy(update={"stride": small.stride}),
            "audit": settings.audit.model_copy(update=epochs | {"stride": small.stride}),
            "train": settings.train.model_copy(update=epochs | {"device": "cpu", "every": 1}),
            "evaluate": settings.evaluate.model_copy(update={"stride": small.stride}),
        }
    )


def newest(bars: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the audited bars: the newest `leak_audit.minutes`."""
    return bars.iloc[-settings.leak_audit.minutes :]


def make(
    bars: pd.DataFrame,
    settings: Settings,
    blocks: BookBlocks | None = None,
    seen: Booleans | None = None,
) -> PipelineResult:
    """Run labels → base model → folds → out of fold → auditor → calibrator → sets → test.

    Args:
        bars: the nine features and `close`, UTC index; for a network that looks at more than the
            nine also `dataset.feature_table.SOURCES`.
        settings: what `in_small` returns.
        blocks: of the book, for a network that looks at it.
        seen: which bars have a book that it can look at, by `books_seen` of the original market.

    Raises:
        ValueError: if there are too few bars for a part.
        ProvenanceError: if the pipeline itself finds a row that used its future.
        UnevenFeaturesError: if features are missing elsewhere than at the begin of a stretch, or
            books elsewhere than `seen` has it.
    """
    borders = borders_of(pd.DatetimeIndex(bars.index), settings, seen)
    table = label(bars, settings.label, settings.etl.max_bridge_minutes)
    asked = _learned_from(table, bars, settings, blocks, seen)
    epochs: dict[str, list[tuple[int, Epoch]]] = {}
    with tempfile.TemporaryDirectory(prefix="quantgod-") as work:
        learners = {
            name: Learner(
                _learned_from(table, bars, own, blocks, seen),
                own,
                Path(work) / name,
                _heard(epochs.setdefault(name, [])),
            )
            for name, own in networks_of(settings).items()
        }
        learned = _learn(learners, settings)
    audited = learned.audit
    evaluated = evaluate(learned.subject, asked.table, audited.rows, settings, blocks=asked.blocks)
    trace = dict(_of_table(table))
    for name, learner in learners.items():
        trace |= {
            **_of_features(learner.learned.table, name),
            **_of_books(learner.learned, name),
            **_of_base(learned.bases[name], borders, name),
            **_of_folds(learned.folds[name], epochs[name], borders, name),
        }
    trace |= {
        **_of_members(learned.ensemble, borders),
        **_of_auditor(audited, borders),
        **_of_evaluation(evaluated, borders),
    }
    return PipelineResult(trace, audited.rows)


class _Learned(NamedTuple):
    """What was learned: of each network its base and folds by name, and the audit on top."""

    subject: Subject
    audit: AuditResult
    bases: Mapping[str, TrainedBase]
    folds: Mapping[str, Sequence[FoldReport]]
    ensemble: EnsembleAudit | None


def _learn(learners: Mapping[str, Learner], settings: Settings) -> _Learned:
    how = settings.train.batch_size, settings.train.device
    if settings.ensemble is None:
        ((name, learner),) = learners.items()
        one = learner.learn()
        subject = NetworkSubject("", one.base.network, one.audit.auditor, *how)
        return _Learned(subject, one.audit, {name: one.base}, {name: one.audit.folds}, None)
    bases, made = EnsembleLearner(settings, learners).learn()
    folds = {name: walked.folds for name, walked in made.walks.items()}
    together = EnsembleSubject("", made.ensemble, made.audit.auditor, *how)
    return _Learned(together, made.audit, bases, folds, made)


def _heard(epochs: list[tuple[int, Epoch]]) -> Hooks:
    """Return hooks that keep each fold's epochs."""
    return Hooks(on_epoch=lambda fold, epoch: epochs.append((fold, epoch)))


def _learned_from(
    table: pd.DataFrame,
    bars: pd.DataFrame,
    settings: Settings,
    blocks: BookBlocks | None,
    seen: Booleans | None,
) -> LearnedFrom:
    """Return the rows as networks look at them, with features and books where one does.

    Raises:
        UnevenFeaturesError: if features or books are missing where they should not be.
    """
    made = _with_features(table, bars, settings)
    if blocks is None or seen is None or not has_book(settings):
        return LearnedFrom(made, None)
    return LearnedFrom(_with_books(made, blocks, seen), blocks)


def _with_features(table: pd.DataFrame, bars: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return the table that is learned from: the labelled one, or features joined to it.

    Raises:
        UnevenFeaturesError: if features are missing elsewhere than at the begin of a stretch.
    """
    memory = memory_of(settings)
    if memory == 1:
        return table
    features = features_of(bars, settings.etl.max_bridge_minutes)
    is_whole = table.groupby("run").cumcount().to_numpy() >= memory - 1
    lacking = features.columns[~np.isfinite(features.to_numpy()[is_whole]).all(axis=0)]
    if len(lacking):
        raise UnevenFeaturesError(
            f"{', '.join(lacking)}: missing in minutes that have {memory} minutes of past; the "
            "leak audit draws its borders by counting minutes and cannot look at this network"
        )
    return with_features(table, features)


def books_seen(bars: pd.DataFrame, blocks: BookBlocks) -> Booleans:
    """Return which bars have a whole block, and prices in the last hour that can scale it."""
    places = blocks.places_of(pd.DatetimeIndex(bars.index))
    seen = places >= 0
    seen[seen] = blocks.whole(places[seen])
    moves = deviation(bars["log_ret_close"].to_numpy(np.float64), VOLATILITY_ROWS) != 0
    return np.asarray(seen & moves)


def _with_books(table: pd.DataFrame, blocks: BookBlocks, seen: Booleans) -> pd.DataFrame:
    """Mark the rows whose book can be looked at.

    Raises:
        UnevenFeaturesError: if they are others than `seen`.
    """
    marked = with_blocks(table, blocks)
    others = table.index[marked[SEEN] != (seen_rows(table) & seen)]
    if len(others):
        raise UnevenFeaturesError(
            f"the book of {others[0]} and {len(others) - 1} more minutes can be looked at in one "
            "of two markets alone: prices have stood still for an hour, and the leak audit draws "
            "its borders by counting minutes"
        )
    return marked


def _of_books(learned: LearnedFrom, name: str) -> Trace:
    """Trace the blocks that a network looks at, known at the close."""
    table, blocks = learned
    if blocks is None:
        return {}
    index = pd.DatetimeIndex(whole_rows(table).index)
    rows, count = row_blocks(blocks, index), len(index)
    parts = [np.arange(at, min(at + AT_ONCE, count)) for at in range(0, count, AT_ONCE)]
    seen = np.concatenate([digests_of(rows(part)) for part in parts])
    return {of_network("network books", name): rows_of(known_at(index), seen)}


def _of_features(table: pd.DataFrame, network: str) -> Trace:
    """Trace the features that a network looks at beside those of its bars, known at the close."""
    names = [name for name in sets.NAMES if name in table]
    if not names:
        return {}
    seen = table[[*names, SEEN]].to_numpy(np.float64)
    stage = of_network("network features", network)
    return {stage: rows_of(known_at(pd.DatetimeIndex(table.index)), seen)}


def _of_table(table: pd.DataFrame) -> Trace:
    """Trace bars, known at their close, and labels, known at the close of their last minute."""
    seen = table[[*FEATURES, "close", "run"]].to_numpy(np.float64)
    further = {f"labels of {one}": label_columns(one) for one in further_horizons(table)}
    return {
        "features": rows_of(known_at(pd.DatetimeIndex(table.index)), seen),
        "labels": _of_labels(table, LABEL_COLUMNS[-3:]),
        **{stage: _of_labels(table, names) for stage, names in further.items()},
    }


def _of_labels(table: pd.DataFrame, names: tuple[str, ...]) -> StageValues:
    forward, target, end = names
    labels = table[table[end].notna()]
    ends = pd.DatetimeIndex(labels[end])
    said = [labels[name].to_numpy() for name in (forward, target)]
    return rows_of(known_at(ends), *said, ends.as_unit("ms").asi8)


def _of_base(base: TrainedBase, borders: Borders, name: str) -> Trace:
    """Trace the scaler, and the weights with their scores on the validation part."""
    weights = [tensor.numpy().tobytes() for tensor in base.network.model.state_dict().values()]
    scores = [_scores(epoch) for epoch in base.fit.history]
    scaler, model = (of_network(stage, name) for stage in ("scaler", "base model"))
    return {
        scaler: _fitted(scaler, borders, _text(base.network.scaler.to_json())),
        model: _fitted(model, borders, *weights, _text(scores)),
    }


def _of_folds(
    reports: Sequence[FoldReport], epochs: list[tuple[int, Epoch]], borders: Borders, name: str
) -> Trace:
    """Trace each fold's scaler, and its model's scores on its fit and stopping samples.

    Forecasts alone would hide that forbidden labels stopped the model, because usually the same
    epoch is the best one.
    """
    trace: dict[str, StageValues] = {}
    for report in reports:
        fold = f"fold {report.fold}"
        scaler, model = (of_network(f"{fold} {what}", name) for what in ("scaler", "model"))
        scores = [_scores(epoch) for number, epoch in epochs if number == report.fold]
        trace[scaler] = _fitted(scaler, borders, _text(report.scaler))
        trace[model] = _fitted(model, borders, _text(scores))
    return trace


def _of_members(made: EnsembleAudit | None, borders: Borders) -> Trace:
    """Trace what each member forecasts out of fold, the weights, and the combiner as served."""
    if made is None:
        return {}
    trace = {
        of_network("forecasts", name): rows_of(*_said(walked.rows))
        for name, walked in made.walks.items()
    }
    if COMBINER not in borders.fitted:
        return trace
    weights, combiner = made.weights, made.ensemble.combiner
    known = known_at(pd.DatetimeIndex(weights.index))
    return trace | {
        WEIGHTS: rows_of(known, weights.to_numpy(np.float64)),
        COMBINER: _fitted(COMBINER, borders, _text(combiner.to_json())),
    }


def _scores(epoch: Epoch) -> tuple[float, float, float]:
    return epoch.train_loss, epoch.validation_loss, epoch.score


def _of_auditor(audited: AuditResult, borders: Borders) -> Trace:
    """Trace the auditor's parts, and out-of-fold forecasts, which are known with their windows."""
    rows, booster, calibrator = audited.rows, audited.boosting, audited.auditor.calibrator
    losses = _text([booster.fit_loss, booster.stopping_loss])
    trees = bytes(booster.booster.save_raw("ubj"))
    map_ = _text([calibrator.slope, calibrator.intercept, calibrator.reason])
    threshold = _text(asdict(audited.auditor.conformal))
    trust = audited.confidence
    fits = _text([asdict(fit) for fit in (trust.probability, trust.said)] if trust else [])
    kept = audited.given.tobytes(), _used(rows, STOPPING, CALIBRATION)
    return {
        **_out_of_fold(rows, borders),
        "booster": _fitted("booster", borders, trees, losses, _used(rows, FIT, STOPPING)),
        "confidence": _fitted("confidence", borders, fits, _used(rows, FIT, names=SPOKEN)),
        "chosen confidence": _fitted(
            "chosen confidence",
            borders,
            _text(asdict(trust.chosen) if trust else []),
            _used(rows, STOPPING, CALIBRATION, names=SPOKEN),
        ),
        "calibrator": _fitted("calibrator", borders, map_, _used(rows, CALIBRATION)),
        "conformal threshold": _fitted("conformal threshold", borders, threshold, *kept),
    }


def _out_of_fold(rows: pd.DataFrame, borders: Borders) -> Trace:
    """Trace forecasts by the part of time that they belong to, according to the borders."""
    known, *said = _said(rows)
    stages = borders.out_of_fold
    begins = [borders.forecasts[stage][0] for stage in stages[1:]]
    part, evidence = np.digitize(known, begins), rows_of(known, *said)
    return {stage: evidence.where(part == place) for place, stage in enumerate(stages)}


def _said(rows: pd.DataFrame) -> tuple[Integers, Floats, Integers]:
    """Return when out-of-fold forecasts are known, the forecasts, and when training ended."""
    said = rows[[*META_FEATURES, *SPOKEN, "weight", "fold"]].to_numpy(np.float64)
    until = rows["trained_until"].dt.as_unit("ms").astype("int64").to_numpy()
    return known_at(pd.DatetimeIndex(rows["time"])), said, until


def _used(rows: pd.DataFrame, *parts: str, names: tuple[str, ...] = META_FEATURES) -> bytes:
    """Return the rows of a fit as bytes, because a fit may stay the same although its rows change.

    A calibrator that lacks a class is the identity, a tree may not split on what differs, and a
    quantile depends on few rows.
    """
    used = rows.loc[rows["part"].isin(parts), [*names, "target", "weight"]]
    return used.to_numpy(np.float64).tobytes()


def _of_evaluation(evaluated: Evaluation, borders: Borders) -> Trace:
    """Trace all forecasts of the test part, including baselines, and the actions.

    The baselines' class shares and the weight of persistence are known before the test part.
    """
    rows = evaluated.rows
    said = rows[[name for name in COLUMNS if name not in OF_THE_LABEL]].to_numpy(np.float64)
    shares = rows[columns_of("majority")].to_numpy(np.float64)[0].tolist()
    trust = float(rows[columns_of("persistence")].to_numpy(np.float64).max())
    return {
        "baselines": _fitted("baselines", borders, _text([shares, trust])),
        TEST_ROWS: rows_of(known_at(pd.DatetimeIndex(rows["time"])), evaluated.meta, said),
    }


def _fitted(stage: str, borders: Borders, *parts: bytes) -> StageValues:
    return fitted_piece(borders.fitted[stage], *parts)


def _text(value: object) -> bytes:
    """Return numbers as JSON, which keeps every bit."""
    return json.dumps(value).encode()
