"""Write the report of forecasts: one self-contained page, with its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from quantgod.report.forecasts.figures import forecast_figures
from quantgod.report.forecasts.findings import ahead_of, headlines, weaknesses
from quantgod.report.forecasts.material import ForecastMaterial
from quantgod.report.forecasts.tables import (
    gate_table,
    lineage_table,
    main_tables,
    newest_table,
    price_tables,
    year_tables,
)
from quantgod.report.rendering import embedded, render
from quantgod.report.report import png

TEMPLATE: Final = "forecast.html.j2"
NEWEST: Final = ("fan_chart",)


@dataclass(frozen=True, eq=False)
class ForecastReport:
    """The report and its figures.

    Attributes:
        html: one page with everything.
        figures: by file name, document 002's names among them.
        images: the same as PNG files.
    """

    html: str
    figures: dict[str, Figure]
    images: dict[str, bytes]


def forecast_report(material: ForecastMaterial) -> ForecastReport:
    """Draw all figures that there is material for, and write the page."""
    drawn, evaluation = forecast_figures(material), material.evaluation
    images = {one.name: png(one.figure) for one in drawn}
    shown = [{**one._asdict(), "png": embedded(images[one.name])} for one in drawn]
    first = evaluation.horizons[0]
    html = render(
        TEMPLATE,
        subject=evaluation.subject,
        market=material.market,
        horizons=", ".join(ahead_of(evaluation, one.steps) for one in evaluation.horizons),
        coins=", ".join(first.coins),
        first=first.first,
        last=first.last,
        headlines=headlines(evaluation, material.gates),
        weaknesses=weaknesses(evaluation),
        newest=[one for one in shown if one["name"] in NEWEST],
        newest_table=newest_table(material.fans) if material.fans else None,
        gates=gate_table(material.gates) if material.gates else None,
        scores=main_tables(evaluation),
        figures=[one for one in shown if one["name"] not in NEWEST],
        details=[*price_tables(evaluation), *year_tables(evaluation)],
        lineage=lineage_table(evaluation, material.lineage),
        settings=json.dumps(material.settings, indent=2),
    )
    return ForecastReport(html, {one.name: one.figure for one in drawn}, images)
