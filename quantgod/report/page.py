"""Render the report as one self-contained HTML page with escaped names and embedded figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import pandas as pd

from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.evidence import EvaluationResult
from quantgod.evaluation.intervals import LEVEL, terms
from quantgod.report.ensemble import about, doubts, member_table
from quantgod.report.examination import Examination
from quantgod.report.figures import ReportFigure
from quantgod.report.findings import headlines, weaknesses
from quantgod.report.rendering import embedded, render
from quantgod.report.tables import Table, detail_tables, score_tables
from quantgod.settings import Settings

TEMPLATE: Final = "page.html.j2"
SETTINGS_SHOWN: Final = ("label", "window", "split", "ensemble", "evaluate", "gates")


def page(
    evaluated: Evaluation,
    examined: Examination,
    table: pd.DataFrame,
    settings: Settings,
    figures: list[ReportFigure],
    images: Mapping[str, bytes],
    market: str = "",
) -> str:
    """Return the page: verdict, scores, figures, tables, provenance.

    Args:
        evaluated: scores, with intervals.
        examined: findings beyond the scores.
        table: the labelled table.
        settings: some are shown.
        figures: figures in order.
        images: PNG files by the figures' names.
        market: says that the market is simulated, if it is.
    """
    result = evaluated.result
    return render(
        TEMPLATE,
        subject=result.subject,
        market=market,
        first=result.first,
        last=result.last,
        rows=f"{result.rows:,}",
        effective_rows=f"{result.effective_rows:.0f}",
        headlines=headlines(result),
        weaknesses=[*doubts(result, settings), *weaknesses(result, examined, settings)],
        about=[] if result.ensemble is None else about(result.ensemble, settings),
        scores=[*score_tables(result), *_of_members(result, settings)],
        figures=[{**item._asdict(), "png": embedded(images[item.name])} for item in figures],
        details=detail_tables(result, examined),
        provenance=_provenance(evaluated, table, settings),
        settings=json.dumps(
            settings.model_dump(mode="json", include=set(SETTINGS_SHOWN)), indent=2
        ),
    )


def _of_members(result: EvaluationResult, settings: Settings) -> list[Table]:
    return [] if result.ensemble is None else [member_table(result.ensemble, settings)]


def _provenance(evaluated: Evaluation, table: pd.DataFrame, settings: Settings) -> Table:
    result, chosen = evaluated.result, settings.evaluate
    learned, sets = table.index[evaluated.dev_row], evaluated.result.coverage
    weights = {name: list(given) for name, given in evaluated.decision_weights.items()}
    body = [
        ("subject", result.subject),
        ("symbol", f"{settings.data.symbol}, source {settings.data.source}"),
        ("baselines learned from", f"{learned[0]} to {learned[-1]}, {len(learned):,} rows"),
        ("test part", f"{result.first} to {result.last}"),
        ("rows", f"{result.rows:,}, one each {chosen.stride} min"),
        ("effective rows", f"{result.effective_rows:.1f} (sum of the labels' uniqueness)"),
        ("intervals", f"{LEVEL:.0%}, of rows weighed by {terms(result.effective_rows)} waves"),
        ("decision weights", json.dumps(weights)),
        ("conformal sets", f"hold what comes in {sets.promised:.0%}: from {sets.threshold:.3g} on"),
        ("confidence", "the probability of the decided class"),
        ("volatility terciles", "cut on the rows that the baselines learned from"),
        ("settings", settings.digest()),
    ]
    if result.inference is not None:
        timed = result.inference
        answer = f"p50 {timed.p50:.2f} ms, p99 {timed.p99:.2f} ms of {timed.windows} windows"
        body.append(("one window, as served", answer))
    return Table("Provenance", ("", "value"), tuple(body))
