"""Evaluate a model and the baselines on the test part.

Nothing else reads the test part. First it is checked that nothing was learned from it: no label of
the auditor's rows may reach into it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from quantgod.auditor.audit import FIT, NoAnswerError, no_answer
from quantgod.auditor.auditor_input import AuditorInput, Votes, forecast_in
from quantgod.auditor.provenance import ProvenanceError, assert_provenance, assert_unseen
from quantgod.contracts import (
    FEATURES,
    META_FEATURES,
    PRIMARY,
    Floats,
    Integers,
    Progress,
    silent,
)
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.dataset.samples import Samples, samples
from quantgod.dataset.splits import split_test
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.confidence import confidence_scores
from quantgod.evaluation.conformal import coverage
from quantgod.evaluation.drift import Shift, shift
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.ensemble_scores import said_beside, score_ensemble, vote_columns
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.evidence import EnsembleResult, EvaluationResult, Inference
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.scored_rows import COLUMNS, CONFIDENCE, MODELS, columns_of
from quantgod.evaluation.subject import Answers, Outcomes, RawMaterial, Subject, material_of
from quantgod.forecasters.baselines import LEARNED, baselines
from quantgod.served.calibration import decide
from quantgod.settings import EvaluateSettings, Settings

AUDITOR: Final = "auditor"
BASE: Final = "base"
Weights = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class _Inputs:
    """The dev samples that baselines learn from, and the test samples."""

    table: pd.DataFrame
    material: RawMaterial
    dev: Samples
    test: Samples


def evaluate(
    subject: Subject,
    table: pd.DataFrame,
    out_of_fold: pd.DataFrame,
    settings: Settings,
    progress: Progress = silent,
    blocks: BookBlocks | None = None,
) -> Evaluation:
    """Score a model and the baselines on every `evaluate.stride`-th minute of the test part.

    All models with learned probabilities decide by probability times class weight: probabilities
    stay calibrated, and decisions still reflect that a missed move costs more than a false one. The
    baselines learn from dev at `audit.stride`, as the auditor does, and use its weights. Sets and
    actions are the model's own.

    Args:
        subject: the model, as trained or as served.
        table: the labelled table, with the columns that the model takes.
        out_of_fold: the audit's rows, with column `part` for their use.
        settings: of label, split, audit (the stride) and evaluate.
        progress: called after batches.
        blocks: of the book, for a model that looks at it; each seen row has a whole one.

    Raises:
        ProvenanceError: if an out-of-fold row's model was trained on later data, or a label that
            the auditor learned from reaches into the test part.
        NoAnswerError: if an ensemble answers none of its rows.
        ValueError: if there is no test part.
    """
    chosen, asked = settings.evaluate, _parts(subject, table, settings, blocks)
    _assert_honest(out_of_fold, asked.test)
    seen = subject.ask(asked.material, asked.test.row, progress)
    asked, seen, unanswered = _answered(asked, seen)
    beside = _beside(seen)
    forecasts = {BASE: seen.forecast, **baselines(table, asked.dev, asked.test, settings.label)}
    said = {AUDITOR: subject.audited(seen.meta)}
    said |= {name: one.probabilities[:, PRIMARY] for name, one in forecasts.items()}
    said |= beside
    weights = {
        AUDITOR: subject.decision_weights,
        BASE: subject.base_weights,
        **dict.fromkeys(beside, subject.base_weights),
        **dict.fromkeys(LEARNED, subject.decision_weights),
    }
    consent = None if seen.votes is None else seen.votes.consent
    answers, trust = subject.answers(said[AUDITOR], consent), subject.confidence(seen)
    target = asked.test.target
    effective = effective_rows(asked.test.time_ms, asked.test.label_end_ms)
    decided = {name: decide(given, weights.get(name)) for name, given in said.items()}
    found = compare(
        target, {name: ModelOutput(said[name], decided[name]) for name in said}, effective
    )
    result = EvaluationResult(
        subject=subject.name,
        first=_utc(asked.test.time_ms)[0].isoformat(),
        last=_utc(asked.test.time_ms)[-1].isoformat(),
        rows=len(target),
        effective_rows=effective,
        models=found.models,
        differences=found.differences,
        coverage=coverage(target, answers.holds, subject.promise, effective),
        drift=_drift(asked),
        forecast_shift=_forecast_shift(subject, out_of_fold, said),
        inference=_inference(subject, asked, chosen),
        confidence=_confidence(trust, seen, target, effective),
        ensemble=_ensemble(seen, said[BASE], answers, asked.test, subject, unanswered),
    )
    rows = _scored_rows(asked, said, decided[BASE], answers, trust, seen.votes)
    return Evaluation(rows, result, asked.test.row, asked.dev.row, seen.meta, found, weights)


def _answered(asked: _Inputs, seen: AuditorInput) -> tuple[_Inputs, AuditorInput, int]:
    """Return what has an answer, and how many test rows have none."""
    is_answered = np.asarray(np.isfinite(seen.meta).all(axis=1))
    if not is_answered.any():
        raise NoAnswerError(no_answer(f"{len(asked.test)} test rows"))
    answered = replace(asked, test=asked.test.take(is_answered))
    return answered, seen.at(is_answered), int((~is_answered).sum())


def _beside(seen: AuditorInput) -> dict[str, Floats]:
    """Return members and equal weights if each has said something of every row, else nothing."""
    votes = seen.votes
    return said_beside(votes) if votes is not None and votes.are_whole.all() else {}


def said_out_of_fold(subject: Subject, out_of_fold: pd.DataFrame) -> dict[str, Floats]:
    """Return probabilities (m, 3) by model of rows that the booster was not fitted on."""
    rows = out_of_fold[out_of_fold["part"] != FIT]
    meta = rows[list(META_FEATURES)].to_numpy(np.float64)
    base = forecast_in(meta, subject.base_weights)
    return {AUDITOR: subject.audited(meta), BASE: base.probabilities[:, PRIMARY]}


def _parts(
    subject: Subject, table: pd.DataFrame, settings: Settings, blocks: BookBlocks | None
) -> _Inputs:
    """Return dev and test samples; the border is the same minute for both strides."""
    learned = samples(table, subject.window, settings.audit.stride)
    scored = samples(table, subject.window, settings.evaluate.stride)
    return _Inputs(
        table,
        material_of(subject, table, blocks),
        learned.take(split_test(learned, settings.split).train),
        scored.take(split_test(scored, settings.split).other),
    )


def _assert_honest(out_of_fold: pd.DataFrame, test: Samples) -> None:
    if "part" not in out_of_fold:
        raise ProvenanceError("out-of-fold rows do not say what they were used for: no `part`")
    assert_provenance(out_of_fold)
    assert_unseen(out_of_fold, _utc(test.time_ms)[0])


def _drift(asked: _Inputs) -> dict[str, Shift]:
    """Return the shift of each of the nine features from the training rows to the test rows."""
    matrix = asked.material.matrix
    learned, met = matrix[asked.dev.row], matrix[asked.test.row]
    return {name: shift(learned[:, place], met[:, place]) for place, name in enumerate(FEATURES)}


def _forecast_shift(
    subject: Subject, out_of_fold: pd.DataFrame, said: dict[str, Floats]
) -> dict[str, Shift]:
    """Return the shift of each probability from unfitted out-of-fold rows to the test rows."""
    before = said_out_of_fold(subject, out_of_fold)
    return {
        column: shift(probabilities[:, place], said[name][:, place])
        for name, probabilities in before.items()
        for place, column in enumerate(columns_of(name))
    }


def _confidence(
    served: Floats | None, seen: AuditorInput, target: Integers, effective: float
) -> dict[str, dict[str, Interval]]:
    if served is None:
        return {}
    decided = seen.said.tilted.argmax(axis=1)
    own = seen.said.probabilities[np.arange(len(decided)), decided]
    models = {"confidence": served, "probability": own}
    return confidence_scores(models, decided == target, effective)


def _ensemble(
    seen: AuditorInput,
    together: Floats,
    answers: Answers,
    test: Samples,
    subject: Subject,
    unanswered: int,
) -> EnsembleResult | None:
    if seen.votes is None:
        return None
    came = Outcomes(test.time_ms, test.label_end_ms, test.target)
    return score_ensemble(seen.votes, together, answers, came, subject.base_weights, unanswered)


def _inference(subject: Subject, asked: _Inputs, settings: EvaluateSettings) -> Inference | None:
    """Time windows spread over the test rows; some are used twice if there are too few."""
    places = np.linspace(0, len(asked.test) - 1, settings.inference_windows).round().astype(int)
    times = subject.answer_times(asked.table, asked.test.row[places], asked.material.book)
    if times is None:
        return None
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return Inference(p50=float(p50), p99=float(p99), windows=len(times))


def _scored_rows(
    asked: _Inputs,
    said: dict[str, Floats],
    base_class: Integers,
    answers: Answers,
    trust: Floats | None,
    votes: Votes | None,
) -> pd.DataFrame:
    test = asked.test
    columns: dict[str, Any] = {
        "time": _utc(test.time_ms),
        "label_end": _utc(test.label_end_ms),
        "target": test.target,
        "forward_return": asked.table["forward_return"].to_numpy()[test.row],
        "auditor_class": answers.decided,
        "base_class": base_class,
        "action": answers.action,
        CONFIDENCE: np.nan if trust is None else trust,
    }
    for name, values in {
        **{model: said[model] for model in MODELS},
        "in_set": answers.holds,
    }.items():
        columns |= dict(zip(columns_of(name), values.T, strict=True))
    told = {name: columns[name] for name in COLUMNS}
    return pd.DataFrame(told | vote_columns(votes))


def _utc(milliseconds: Integers) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(milliseconds.astype("datetime64[ms]"), tz="UTC")
