"""Write a page of the newest forecasts: fan charts, and tables of them and of the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from matplotlib.figure import Figure

from quantgod.evaluation.plots.forecasts import Fan, fan_chart
from quantgod.report.figures import ReportFigure
from quantgod.report.forecasts.tables import newest_table
from quantgod.report.rendering import embedded, render
from quantgod.report.report import png
from quantgod.report.tables import Table

TEMPLATE: Final = "newest_forecasts.html.j2"


def newest_report(
    subject: str,
    right: str,
    fans: Sequence[Fan],
    tables: Sequence[Table],
    warnings: Sequence[str],
    market: str = "",
) -> tuple[str, Figure | None]:
    """Return the page, and its figure if there is a forecast.

    Args:
        subject: the version.
        right: by which it forecasts.
        fans: the newest forecasts, by coin.
        tables: what is told beside them.
        warnings: sentences.
        market: says that the market is simulated, if it is.
    """
    figure = fan_chart(fans) if fans else None
    html = render(
        TEMPLATE,
        subject=subject,
        market=market,
        right=right,
        warnings=warnings,
        figure=None if figure is None else _shown(figure),
        tables=[*_newest(fans), *tables],
    )
    return html, figure


def _newest(fans: Sequence[Fan]) -> Iterator[Table]:
    if fans:
        yield newest_table(fans)


def _shown(figure: Figure) -> dict[str, object]:
    told = ReportFigure(
        "fan_chart", "Newest forecasts",
        "Past prices, and bands that hold 50, 80 and 95 % of what may come. Only their ends at "
        "each horizon were forecast; lines join them.",
        figure,
    )  # fmt: skip
    return {**told._asdict(), "png": embedded(png(figure))}
