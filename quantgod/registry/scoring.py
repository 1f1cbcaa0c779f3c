"""A model is scored on the test part: which one, by what settings, and on whose rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.contracts import Progress, Series, silent
from quantgod.dataset.table import read_table, table_series
from quantgod.evaluation.evaluate import evaluate
from quantgod.evaluation.evaluation import Evaluation
from quantgod.registry.lineage import lineage_of, market_in_words
from quantgod.registry.own_settings import Judging, judging
from quantgod.registry.ownership import check_rows
from quantgod.registry.registered import known_version
from quantgod.registry.subjects import (
    EvaluationRequest,
    evaluation_request,
    subject_of,
    tag_version,
)
from quantgod.report import Report, complete
from quantgod.settings import Settings
from quantgod.tracking.stage import StageRun
from quantgod.tracking.stage_outputs import out_of_fold_rows


@dataclass(frozen=True)
class Scoring:
    """What is to be scored.

    Attributes:
        asked: the model, and the runs that its rows come from.
        found: the version, if it is one.
        by: what it is judged by.
    """

    asked: EvaluationRequest
    found: ModelVersion | None
    by: Judging


@dataclass(frozen=True, eq=False)
class ScoringResult:
    """What came of it, and whose rows it was scored on."""

    evaluated: Evaluation
    report: Report
    series: Series


def scoring(
    client: MlflowClient,
    at_hand: Settings,
    changes: Mapping[str, Any] | None,
    version: int | None,
    named: Mapping[str, str | None],
) -> Scoring:
    """Find the model that is asked for and the settings to judge it by: a version has its own.

    Args:
        client: of the store.
        at_hand: settings of a given file, or else of the default one.
        changes: values over a version's own; None where a file was given.
        version: its number; None where a run is named, or the newest is meant.
        named: runs by stage.

    Raises:
        VersionError, ContradictionError: where there is no such model, or it is not of these runs.
        OtherSettingsError: where it was made by other settings than those that were given.
    """
    asked = evaluation_request(client, at_hand.registry.name, version, named)
    if asked.version is None:
        return Scoring(asked, None, Judging(at_hand))
    found = known_version(client, asked.name, asked.version)
    return Scoring(asked, found, judging(found, "evaluate", at_hand, changes))


def score(run: StageRun, what: Scoring, progress: Progress = silent) -> ScoringResult:
    """Score it on the test part beside simple baselines, and write that up.

    Raises:
        OtherSeriesError: where the rows are not of a version's own series.
    """
    asked, settings, labels = what.asked, run.settings, run.inputs["labels"]
    made = asked.runs if what.found is None else lineage_of(what.found).runs
    with run.scratch() as folder:
        subject = subject_of(asked, run.client, settings.train, folder)
        series = table_series(labels)
        if what.found is not None:
            check_rows(what.found, series)
        table, rows = read_table(labels), out_of_fold_rows(run, folder)
        evaluated = evaluate(subject, table, rows, settings, progress)
        market = market_in_words(made, settings)
        report = complete(evaluated, subject, table, settings, progress, rows, market)
    return ScoringResult(evaluated, report, series)


def keep_score(run: StageRun, what: Scoring, scored: ScoringResult) -> None:
    """Write figures and card on the version; not where it was judged by other than its own."""
    asked = what.asked
    if asked.version is not None and not what.by.otherwise:
        figures, card = scored.evaluated.summary(), scored.report.card
        tag_version(run.client, asked, run.run_id, figures, card)
