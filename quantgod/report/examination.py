"""Examine an evaluation: where the model is right, when to trust it, and what it relies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd

from quantgod.contracts import (
    CLASSES,
    Floats,
    Integers,
    Progress,
    silent,
)
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.evaluation import groupings as cuts
from quantgod.evaluation.evaluation import JUDGED, Evaluation
from quantgod.evaluation.importance import (
    Importance,
    Plan,
    evenly,
    permutation_importance,
)
from quantgod.evaluation.intervals import Interval, share_among
from quantgod.evaluation.scored_rows import columns_of, probabilities_of
from quantgod.evaluation.selective import Curve, Ranking, curves
from quantgod.evaluation.slices import Rows, Slices, slice_scores
from quantgod.evaluation.subject import RawMaterial, Subject, material_of
from quantgod.settings import Settings

ALL_DECISIONS: Final = "all decisions"
MOVES: Final = "decided SELL or BUY"


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Findings beyond scores of the whole test part.

    Attributes:
        overall: one slice with all rows.
        by_cut: slices by `session`, `weekday` and `volatility`.
        tiers: slices by the model's own confidence, by model.
        selective: selective accuracy by kind of row and model.
        importance: permutation importance.
        coverage_by_class: share of a class's rows whose conformal set held it; None without rows.
        set_sizes: number of rows whose set has zero, one, two, three classes.
        right_alone: share of the one-class sets that held the true class.
    """

    overall: Slices
    by_cut: dict[str, Slices]
    tiers: dict[str, Slices]
    selective: dict[str, dict[str, Curve]]
    importance: Importance
    coverage_by_class: dict[str, Interval | None]
    set_sizes: tuple[int, ...]
    right_alone: Interval | None


def examine(
    evaluated: Evaluation,
    subject: Subject,
    table: pd.DataFrame,
    settings: Settings,
    progress: Progress = silent,
    blocks: BookBlocks | None = None,
) -> Examination:
    """Examine an evaluation.

    Args:
        evaluated: the result of `evaluate`.
        subject: the evaluated model; it also predicts permuted windows.
        table: the labelled table.
        settings: evaluate is read.
        progress: called after permutations, the longest part.
        blocks: of the book, for a model that looks at it.
    """
    rows, chosen = evaluated.rows, settings.evaluate
    known = _known(rows)
    decided = {model: rows[f"{model}_class"].to_numpy(np.int64) for model in JUDGED}
    confidence = {
        model: cuts.confidence_of(probabilities_of(rows, model), decided[model]) for model in JUDGED
    }
    by_cut = {
        name: slice_scores(cut, known, decided) for name, cut in _cuts(evaluated, table).items()
    }
    everything = cuts.Grouping(("all",), np.zeros(len(rows), np.int64))
    coverage_by_class, set_sizes, right_alone = _sets(rows, known)
    return Examination(
        overall=slice_scores(everything, known, decided),
        by_cut=by_cut,
        tiers={
            model: slice_scores(
                cuts.by_confidence(confidence[model], chosen.confidence_tiers),
                known, {model: decided[model]},
            )
            for model in JUDGED
        },
        selective=_selective(known, decided, confidence),
        importance=_importance(
            evaluated, known, subject, material_of(subject, table, blocks), settings, progress
        ),
        coverage_by_class=coverage_by_class,
        set_sizes=set_sizes,
        right_alone=right_alone,
    )  # fmt: skip


def _known(rows: pd.DataFrame) -> Rows:
    def milliseconds(column: str) -> Integers:
        values: Integers = pd.DatetimeIndex(rows[column]).as_unit("ms").asi8
        return values

    target = rows["target"].to_numpy(np.int64)
    return Rows(milliseconds("time"), milliseconds("label_end"), target)


def _cuts(evaluated: Evaluation, table: pd.DataFrame) -> dict[str, cuts.Grouping]:
    """Return the groupings; volatility by terciles of dev: those of test are known too late."""
    time: pd.Series[Any] = evaluated.rows["time"]
    volatility = table["volatility"].to_numpy(np.float64)
    tested, learned = volatility[evaluated.samples_row], volatility[evaluated.dev_row]
    return {
        "session": cuts.by_session(time),
        "weekday": cuts.by_weekday(time),
        "volatility": cuts.by_volatility(tested, learned),
    }


def _selective(
    known: Rows,
    decided: Mapping[str, Integers],
    confidence: Mapping[str, Floats],
) -> dict[str, dict[str, Curve]]:
    kinds = {
        ALL_DECISIONS: {model: np.ones(len(said), bool) for model, said in decided.items()},
        MOVES: {model: said != CLASSES.index("NEUTRAL") for model, said in decided.items()},
    }
    return {
        kind: curves(
            {
                model: Ranking(confidence[model], decided[model] == known.target, counted[model])
                for model in decided
            },
            known.effective,
        )
        for kind, counted in kinds.items()
    }


def _importance(
    evaluated: Evaluation,
    known: Rows,
    subject: Subject,
    material: RawMaterial,
    settings: Settings,
    progress: Progress,
) -> Importance:
    chosen = settings.evaluate
    read = np.zeros(len(evaluated.rows), bool)
    read[evenly(len(read), chosen.importance_rows)] = True
    return permutation_importance(
        subject,
        material,
        evaluated.samples_row,
        evaluated.rows["target"].to_numpy(np.int64),
        Plan(chosen.importance_rows, chosen.importance_repeats, chosen.seed),
        known.take(read).effective,
        progress,
    )


def _sets(
    rows: pd.DataFrame, known: Rows
) -> tuple[dict[str, Interval | None], tuple[int, ...], Interval | None]:
    holds = rows[columns_of("in_set")].to_numpy(bool)
    held, sizes = holds[np.arange(len(rows)), known.target], holds.sum(axis=1)
    effective = known.effective
    by_class = {
        name: share_among(held, known.target == number, effective)
        for number, name in enumerate(CLASSES)
    }
    counts = tuple(int((sizes == size).sum()) for size in range(len(CLASSES) + 1))
    return by_class, counts, share_among(held, sizes == 1, effective)
