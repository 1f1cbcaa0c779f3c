"""Tell what a change of an ensemble would do to its test scores, before it is made.

Nothing is asked anew: what the members said of the test rows is kept, and is combined as now and as
changed. Weights that move go on from what came out of fold through the test part, by the function
that moves them in evaluation. It is what members say together, before the auditor, and only the
gates decide: who looks at many changes of one test part finds one that fits it by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.auditor.ensemble_rows import CONTEXT, consensus_input, ensemble_rows
from quantgod.contracts import PRIMARY, Booleans, Floats
from quantgod.ensemble.fitting import POOLS, new_combiner
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.scored_rows import ROWS_FILE, members_in, probabilities_of
from quantgod.evaluation.subject import Outcomes
from quantgod.registry.comparing import scored_versions
from quantgod.registry.lineage import lineage_of
from quantgod.registry.members import combiner_of, result_of
from quantgod.registry.registered import VersionError
from quantgod.served.calibration import decide
from quantgod.served.combiners.combiner import Combiner
from quantgod.served.combiners.outcome import Outcome
from quantgod.served.combiners.votes import UNDECIDED, Votes
from quantgod.settings import EnsembleSettings, Settings, members_of, without_disabled
from quantgod.tracking.chosen import member_runs
from quantgod.tracking.keys import artifacts_of

SCORES: Final = ("log_loss", "macro_f1", "accuracy")
NOW, CHANGED = "now", "changed"
OUT_OF_FOLD: Final = "out_of_fold"
"""Folder of a train run; `evaluation.common_minutes` names it too, but loads what trains."""


class PreviewError(VersionError):
    """A change's scores cannot be told from what is kept of a version."""


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """A change of an ensemble.

    Attributes:
        strategy: of the settings; None for the same.
        weights: of members by name, before any outcome; others stay.
        disabled: members that abstain from the first test row on.
    """

    strategy: str | None = None
    weights: dict[str, float] = msgspec.field(default_factory=dict)
    disabled: tuple[str, ...] = ()


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What members say together.

    Attributes:
        scores: of the rows that have an answer as now and as changed; none without such rows.
        answered: share of the test minutes that have an answer.
    """

    scores: dict[str, Interval]
    answered: float


class PreviewResult(msgspec.Struct, frozen=True, kw_only=True):
    """The test scores as now and as changed.

    Attributes:
        now: as the version in place.
        changed: with the change.
        differences: changed minus now, paired, by score.
        rows: on which every member spoke and both have an answer.
        effective_rows: number of independent labels among them.
    """

    now: Side
    changed: Side
    differences: dict[str, Interval]
    rows: int
    effective_rows: float


class Kept(NamedTuple):
    """What is kept of a version.

    Attributes:
        combiner: as it is served.
        settings: that it was made with.
        rows: scored test rows.
        unanswered: test minutes that have none.
        frames: gives its members' out-of-fold rows by name.
    """

    combiner: Combiner
    settings: Settings
    rows: pd.DataFrame
    unanswered: int
    frames: Callable[[], Mapping[str, pd.DataFrame]]


def kept_of(client: MlflowClient, found: ModelVersion, folder: Path) -> Kept:
    """Return what is kept of a version of several members.

    Args:
        client: of the store.
        found: the version.
        folder: for what is fetched.

    Raises:
        PreviewError: if it is of one network.
        MissingEvidenceError: if it was not scored.
        NoOwnSettingsError: if its settings are not known.
    """
    combiner, who = combiner_of(found), f"{found.name} {found.version}"
    if combiner is None:
        raise PreviewError(f"{who} is of a single network, which has no members")
    (scored,) = scored_versions(client, found.name, [int(found.version)], folder).values()
    result = result_of(found)
    if result is None or sorted(members_in(scored.rows)) != sorted(combiner.members):
        raise PreviewError(f"{who}: its scored rows do not hold what its members said")

    def frames() -> dict[str, pd.DataFrame]:
        try:
            runs = member_runs(lineage_of(found).runs["members"])
            return {name: _out_of_fold(runs[name], folder / name) for name in combiner.members}
        except (KeyError, OSError, MlflowException) as error:
            text = f"{who}: what its members said out of fold is not kept: {error}"
            raise PreviewError(text) from None

    settings = without_disabled(scored.settings)
    return Kept(combiner, settings, scored.rows, result.unanswered, frames)


def preview(kept: Kept, asked: WhatIf) -> PreviewResult:
    """Return the scores of a version's members together, as now and as changed.

    Raises:
        PreviewError: if the change is of none of its members, or needs what is not kept.
    """
    names = kept.combiner.members
    if others := sorted({*asked.weights, *asked.disabled} - {*names}):
        raise PreviewError(f"one of the members {', '.join(names)} expected, got {others[0]}")
    votes, came, changed = _votes(kept), _outcomes(kept.rows), _changed(kept, asked)
    heard = ~np.isin(names, asked.disabled)[:, None]
    for combiner in (kept.combiner, changed):
        _check_confidence(kept, combiner)
    then = _together(changed, replace(votes, present=votes.present & heard), came)
    now = _together(kept.combiner, votes, came)
    scored = votes.present.all(axis=0) & now.speaks & then.speaks
    models, differences, effective = _compared(kept, came, {CHANGED: then, NOW: now}, scored)
    minutes = len(scored) + kept.unanswered
    return PreviewResult(
        now=Side(scores=models[NOW], answered=float(now.speaks.sum()) / minutes),
        changed=Side(scores=models[CHANGED], answered=float(then.speaks.sum()) / minutes),
        differences=differences,
        rows=int(scored.sum()),
        effective_rows=effective,
    )


class _Said(NamedTuple):
    """What members say together (n, 3), and where they do (n,)."""

    probabilities: Floats
    speaks: Booleans


def _compared(
    kept: Kept, came: Outcomes, said: Mapping[str, _Said], scored: Booleans
) -> tuple[dict[str, dict[str, Interval]], dict[str, Interval], float]:
    """Return scores by model, those of the first minus the second, and the effective rows."""
    if not scored.any():
        return {name: {} for name in said}, {}, 0.0
    effective = effective_rows(came.time_ms[scored], came.label_end_ms[scored])
    weights = kept.combiner.rules.class_weights
    told = {name: one.probabilities[scored] for name, one in said.items()}
    outputs = {name: ModelOutput(one, decide(one, weights)) for name, one in told.items()}
    found = compare(came.target[scored], outputs, effective)
    models = {name: _chosen(found.models[name]) for name in said}
    return models, _chosen(found.differences[NOW]), effective


def _together(combiner: Combiner, votes: Votes, came: Outcomes) -> _Said:
    """Return what members say together, as `evaluate` scores it."""
    weights, _ = combiner.weights_over(votes, *came)
    said = combiner.combine(votes, weights)
    seen = consensus_input(said, np.zeros((len(came.target), len(CONTEXT))), combiner)
    return _Said(seen.forecast.probabilities[:, PRIMARY], said.direction != UNDECIDED)


def _changed(kept: Kept, asked: WhatIf) -> Combiner:
    """Return the combiner with the change, its weights fitted or moved out of fold."""
    how = kept.settings.ensemble
    if (asked.strategy is None and not asked.weights) or how is None:
        return kept.combiner
    weights = {**how.weights, **asked.weights}
    told = {"strategy": asked.strategy or how.strategy, "weights": weights}
    changed = _new(kept, how.model_copy(update=told))
    if not any(changed.weights):
        raise PreviewError("a member with a weight above 0 expected, got 0 for each")
    if told["strategy"] not in POOLS:
        return changed
    frames = kept.frames()
    if how.strategy in POOLS and _fitted(kept, how, frames).to_json() != kept.combiner.to_json():
        raise PreviewError("what its members said out of fold is not what its weights are of")
    return _fitted(kept, how.model_copy(update=told), frames)


def _new(kept: Kept, how: EnsembleSettings) -> Combiner:
    label, own = kept.settings.label, kept.combiner
    outcome = Outcome(label.horizon_minutes, label.buy_above, label.sell_below)
    return new_combiner(how, own.members, own.rules.class_weights, outcome, own.every)


def _fitted(kept: Kept, how: EnsembleSettings, frames: Mapping[str, pd.DataFrame]) -> Combiner:
    new = _new(kept, how)
    return ensemble_rows(frames, new, how.strategy, next(iter(frames))).fitted.combiner


def _votes(kept: Kept) -> Votes:
    """Return what the members said of the test rows, in the combiner's order."""
    own = members_of(kept.settings)
    said = np.stack([probabilities_of(kept.rows, name) for name in kept.combiner.members])
    present = np.asarray(np.isfinite(said).all(axis=-1))
    sure = [
        _confidence(np.nan_to_num(one), own[name].train.class_weights)
        for name, one in zip(kept.combiner.members, said, strict=True)
    ]
    return Votes(said, np.stack(sure), np.full(present.shape, np.nan), present)


def _confidence(plain: Floats, weights: tuple[float, ...]) -> Floats:
    """Return the probability (n,) of the class that a member decides on: without a head, that."""
    return np.asarray(plain[np.arange(len(plain)), decide(plain, weights)])


def _check_confidence(kept: Kept, combiner: Combiner) -> None:
    """Refuse what needs the confidence of members that tell one of their own: it is not kept."""
    if combiner.strategy != "confidence_based" and not any(combiner.least):
        return
    own = members_of(kept.settings)
    for name, frame in kept.frames().items():
        told = _confidence(probabilities_of(frame, "base"), own[name].train.class_weights)
        if not np.allclose(told, frame["confidence"].to_numpy(np.float64)):
            raise PreviewError(
                f"{combiner.strategy} takes the confidence that {name} tells, and its scored rows "
                "do not hold it"
            )


def _outcomes(rows: pd.DataFrame) -> Outcomes:
    times, ends = (
        pd.DatetimeIndex(rows[name]).as_unit("ms").asi8 for name in ("time", "label_end")
    )
    return Outcomes(times, ends, rows["target"].to_numpy(np.int64))


def _chosen(scores: Mapping[str, Interval]) -> dict[str, Interval]:
    return {name: scores[name] for name in SCORES}


def _out_of_fold(run: str, folder: Path) -> pd.DataFrame:
    return pd.read_parquet(artifacts_of(run, OUT_OF_FOLD, folder) / ROWS_FILE)
