"""Score a model on the test part: choose the model, its settings and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.contracts import Progress, Series, silent
from quantgod.dataset.learning_table import learned_from
from quantgod.dataset.series import table_series
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
    """A model to score, with its settings.

    Attributes:
        asked: the model and the runs of its rows.
        found: the version, if it is one.
        by: judging settings.
    """

    asked: EvaluationRequest
    found: ModelVersion | None
    by: Judging


@dataclass(frozen=True, eq=False)
class ScoringResult:
    """The result of a scoring: evaluation, report, and the series of the rows."""

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
    """Find the requested model and its judging settings; a version has its own.

    Args:
        client: of the store.
        at_hand: settings of a given file, or of the default one.
        changes: values that override a version's own; None if a file was given.
        version: its number; None if a run is named, or for the newest.
        named: runs by stage.

    Raises:
        VersionError, ContradictionError: if there is no such model, or it is not of these runs.
        OtherSettingsError: if it was made with other settings than the given ones.
    """
    asked = evaluation_request(client, at_hand.registry.name, version, named)
    if asked.version is None:
        return Scoring(asked, None, Judging(at_hand))
    found = known_version(client, asked.name, asked.version)
    return Scoring(asked, found, judging(found, "evaluate", at_hand, changes))


def score(
    run: StageRun,
    what: Scoring,
    progress: Progress = silent,
    announce: Callable[[str], None] = lambda text: None,
) -> ScoringResult:
    """Score a model and simple baselines on the test part, and make the report.

    Args:
        run: of the stage.
        what: the model.
        progress: called after batches.
        announce: called with how many minutes are left out, for a model that looks at the book.

    Raises:
        OtherSeriesError: if the rows are not of the version's own series.
    """
    asked, settings, labels = what.asked, run.settings, run.inputs["labels"]
    made = asked.runs if what.found is None else lineage_of(what.found).runs
    with run.scratch() as folder:
        subject = subject_of(asked, run.client, settings.train, folder)
        series = table_series(labels)
        if what.found is not None:
            check_rows(what.found, series)
        table, blocks = learned_from(run.inputs, announce)
        rows = out_of_fold_rows(run, folder)
        evaluated = evaluate(subject, table, rows, settings, progress, blocks)
        market = market_in_words(made, settings)
        report = complete(evaluated, subject, table, settings, progress, rows, market, blocks)
    return ScoringResult(evaluated, report, series)


def keep_score(run: StageRun, what: Scoring, scored: ScoringResult) -> None:
    """Write figures and card to the version, unless other settings than its own were used."""
    asked = what.asked
    if asked.version is not None and not what.by.otherwise:
        figures, card = scored.evaluated.summary(), scored.report.card
        tag_version(run.client, asked, run.run_id, figures, card)
