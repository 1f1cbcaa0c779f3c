"""The report of the small evaluation, made once."""

from __future__ import annotations

from functools import cache

from quantgod.report import Report, complete
from quantgod.report.examination import Examination, examine
from quantgod.report.figures import ReportFigure, report_figures
from tests.evaluation.evaluations import case


@cache
def report() -> Report:
    given = case()
    return complete(
        given.evaluated, given.subject, given.table, given.settings, out_of_fold=given.out_of_fold
    )


@cache
def examined() -> Examination:
    given = case()
    return examine(given.evaluated, given.subject, given.table, given.settings)


@cache
def figures() -> list[ReportFigure]:
    given = case()
    return report_figures(given.evaluated, examined(), given.table, given.settings, None)
