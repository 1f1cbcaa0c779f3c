"""Draw the figures of a report, each with a sentence on how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from quantgod.contracts import Floats
from quantgod.evaluation import plots
from quantgod.evaluation.evaluation import JUDGED, Evaluation
from quantgod.evaluation.evidence import Coverage
from quantgod.evaluation.scored_rows import probabilities_of
from quantgod.evaluation.wording import verdict
from quantgod.report.examination import Examination
from quantgod.settings import Settings
from quantgod.training.confusion import confusion_matrix

COMPARED = ("macro_f1", "mcc", "accuracy", "log_loss", "brier", "ece")
SLICED = {"hit_rate": "hit rate of SELL and BUY", "accuracy": "accuracy of all decisions"}


class ReportFigure(NamedTuple):
    """A figure with its file name, its title and how to read it."""

    name: str
    title: str
    reading: str
    figure: Figure


def report_figures(
    evaluated: Evaluation,
    examined: Examination,
    table: pd.DataFrame,
    settings: Settings,
    before: Mapping[str, Floats] | None,
) -> list[ReportFigure]:
    """Return all figures in the order of the report.

    Args:
        evaluated: scores and rows.
        examined: findings beyond the scores.
        table: the labelled table, for closes.
        settings: tiers and the gates' limits are read.
        before: out-of-fold probabilities (m, 3) by model, if available.
    """
    return [
        *_scores(evaluated),
        *_members(evaluated),
        *_trust(evaluated, examined, settings),
        *_where(examined),
        *_shifts(evaluated, settings, before),
        _timeline(evaluated, table),
    ]


def _scores(evaluated: Evaluation) -> Iterator[ReportFigure]:
    result, rows = evaluated.result, evaluated.rows
    yield ReportFigure(
        "comparison", "Scores beside the baselines",
        "A bar is the score on the test part, the line its 95 % interval, which knows that "
        "the labels of neighbouring minutes overlap.",
        plots.comparison(result.models, COMPARED),
    )  # fmt: skip
    yield ReportFigure(
        "advantages", "Is the auditor better?",
        "The auditor's score minus the other's, on the same rows. Only an interval clear "
        "of zero shows anything.",
        plots.advantages(result.differences, verdict),
    )  # fmt: skip
    target = rows["target"].to_numpy(np.int64)
    matrices = {
        model: confusion_matrix(target, rows[f"{model}_class"].to_numpy(np.int64))
        for model in JUDGED
    }
    matrices["auditor, acting"] = confusion_matrix(target, rows["action"].to_numpy(np.int64))
    yield ReportFigure(
        "confusion", "What was decided, and what came",
        "Each row of a matrix holds the minutes of one class that came and sums to 100 %; the "
        "diagonal was right. Acting means that an unsure conformal set counts as NEUTRAL.",
        plots.confusion_matrices(matrices),
    )  # fmt: skip


def _members(evaluated: Evaluation) -> Iterator[ReportFigure]:
    """Yield the figures of an ensemble; none of a single network."""
    found, rows = evaluated.result.ensemble, evaluated.rows
    if found is None:
        return
    if found.differences:
        yield ReportFigure(
            "members", "Is the ensemble better than its members?",
            "The score of what the members say together, before the auditor, minus that of each of "
            "them and of equal weights, on the same rows. Only an interval clear of zero shows "
            "anything.",
            plots.advantages(found.differences, verdict, whose="ensemble"),
        )  # fmt: skip
    shares = {name: rows[f"{name}_weight"].to_numpy(np.float64) for name in found.members}
    yield ReportFigure(
        "weights", "Who is listened to, and do they agree?",
        "Above: the members' shares of all weights, which only outcomes that were known by then "
        "have moved; dashed: equal shares. Below: the share of the speaking members that say what "
        "all say together.",
        plots.members(
            rows["time"], shares, rows["agreement"].to_numpy(np.float64), 1 / len(shares)
        ),
    )  # fmt: skip


def _trust(
    evaluated: Evaluation, examined: Examination, settings: Settings
) -> Iterator[ReportFigure]:
    rows = evaluated.rows
    said = {model: probabilities_of(rows, model) for model in JUDGED}
    yield ReportFigure(
        "reliability", "Are the probabilities honest?",
        "On the dashed line, 30 % means that it came in 30 of 100. Below it the model promises too "
        "much, above it too little. Hollow points stand on fewer than 20 rows.",
        plots.reliability(rows["target"].to_numpy(np.int64), said),
    )  # fmt: skip
    yield ReportFigure(
        "tiers", "Precision and recall by confidence",
        "Confidence is the probability of the class that was decided. The dots of a calibrated "
        "model lie in the grey tiers of the first panel. Hollow dots stand on fewer than 20 "
        "independent labels.",
        plots.tiers(examined.tiers, settings.evaluate.confidence_tiers),
    )  # fmt: skip
    yield ReportFigure(
        "selective", "Coverage against selective accuracy",
        "From the right to the left the less confident decisions are left out. A curve that does "
        "not rise to the left belongs to a confidence that knows nothing.",
        plots.risk_coverage(examined.selective),
    )  # fmt: skip
    yield ReportFigure(
        "conformal", "Conformal sets: promised and found",
        "A set holds the classes that cannot be ruled out. The promise is for all rows together, "
        "not for each class. Only a set of one class is acted on.",
        _conformal(evaluated.result.coverage, examined),
    )  # fmt: skip


def _conformal(coverage: Coverage, examined: Examination) -> Figure:
    by_class = {f"{name} came": found for name, found in examined.coverage_by_class.items()}
    found = {"all rows": coverage.found, **by_class, "sets of one class": examined.right_alone}
    return plots.conformal(coverage.promised, found, examined.set_sizes)


def _where(examined: Examination) -> Iterator[ReportFigure]:
    titles = {"session": "session (UTC)", "weekday": "weekday", "volatility": "volatility tercile"}
    yield ReportFigure(
        "slices", "Where and when it is right",
        "The hit rate is the share of decided SELL and BUY whose class came. Below each name: rows "
        "and, in brackets, the independent labels that they equal; hollow dots stand on fewer than "
        "20. With this many intervals about one in twenty is off by chance.",
        plots.slices(
            {titles[name]: parts for name, parts in examined.by_cut.items()},
            SLICED, examined.overall,
        ),
    )  # fmt: skip
    models = examined.importance.models
    panels = {
        "rise in log-loss, nats": {
            model: {group: loss.log_loss_rise for group, loss in groups.items()}
            for model, groups in models.items()
        },
        "fall in macro-F1": {
            model: {group: loss.macro_f1_fall for group, loss in groups.items()}
            for model, groups in models.items()
        },
    }
    yield ReportFigure(
        "importance", "What the model leans on",
        "How much worse it becomes when a group of features comes from other windows. Near zero: "
        "it would not miss them. Below zero: it would have done better without.",
        plots.group_importance(panels),
    )  # fmt: skip


def _shifts(
    evaluated: Evaluation, settings: Settings, before: Mapping[str, Floats] | None
) -> Iterator[ReportFigure]:
    result, gates = evaluated.result, settings.gates
    yield ReportFigure(
        "drift", "Features: learned from, and met",
        "How far the test rows lie from those that were learned from; dashed: the gates' limits, "
        "and drift is to be over both.",
        plots.shifts(result.drift, gates.drift_psi_at_most, gates.drift_ks_at_most),
    )  # fmt: skip
    if before is None:
        figure = plots.shifts(result.forecast_shift, None, None)
    else:
        now = {model: probabilities_of(evaluated.rows, model) for model in before}
        figure = plots.forecast_shift(before, now, result.forecast_shift)
    yield ReportFigure(
        "forecast_shift", "Probabilities: out of fold, and as served",
        "The auditor learned from what other networks said out of fold. If the network that is "
        "served speaks otherwise on the test part, the auditor hears what it never learned from.",
        figure,
    )  # fmt: skip


def _timeline(evaluated: Evaluation, table: pd.DataFrame) -> ReportFigure:
    rows = evaluated.rows
    close = table["close"].to_numpy(np.float64)[evaluated.samples_row]
    strips = {
        "came": rows["target"].to_numpy(np.int64),
        "auditor": rows["auditor_class"].to_numpy(np.int64),
        "acted on": rows["action"].to_numpy(np.int64),
    }
    return ReportFigure(
        "timeline", "The test part",
        "Lines are means of short stretches, with their range. Below: minutes of SELL and BUY, as "
        "they came, as they were decided, and as conformal sets let them be acted on.",
        plots.timeline(rows["time"], close, probabilities_of(rows, "auditor"), strips),
    )  # fmt: skip
