"""Show versions and members of ensembles on the same test rows: a table, figures and a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import interval_text, number_text, verdict
from quantgod.report.findings import DECISIVE
from quantgod.report.rendering import render
from quantgod.report.tables import Table

TEMPLATE: Final = "compared.html.j2"
SCORES: Final = {"macro_f1": "macro-F1", "mcc": "MCC", "log_loss": "log-loss"}


def compared_table(
    models: Mapping[str, Mapping[str, Interval]],
    differences: Mapping[str, Mapping[str, Interval]],
    traded: Mapping[str, Any],
) -> Table:
    """Return a row for each model: its scores, the first one's advantage, and what it earns.

    Args:
        models: scores by model, the one that others are compared with first.
        differences: its score minus the other's.
        traded: `trades`, `net_pnl` and `deflated_sharpe` by model, where there are books.
    """
    first = next(iter(models))
    head = ("model", *SCORES.values(), *(f"{first} minus this: {SCORES[one]}" for one in DECISIVE))
    head = (*head, "trades", "net PnL", "deflated Sharpe")
    body = []
    for name, found in models.items():
        cells = [interval_text(found[score]) for score in SCORES]
        apart = differences.get(name)
        cells += [_apart(score, apart[score]) if apart else "-" for score in DECISIVE]
        money = traded.get(name)
        cells += ["-"] * 3 if money is None else [
            f"{money.trades:,}", interval_text(money.net_pnl), number_text(money.deflated_sharpe)
        ]  # fmt: skip
        body.append((name, *cells))
    note = (
        "Log-loss: lower is better. Paired: all are of the same rows; an interval that holds zero "
        "shows nothing. Members and what they say together are unaudited and act on each move that "
        "they decide; a version acts where its conformal set lets it."
    )
    return Table("Scores on the common test rows", head, tuple(body), note)


def compared_page(title: str, told: str, table: Table, images: Mapping[str, str]) -> str:
    """Return one self-contained HTML page.

    Args:
        title: what is compared.
        told: of which rows.
        table: what `compared_table` returned.
        images: PNG files by title, as base64 text.
    """
    return render(TEMPLATE, title=title, told=told, table=table, images=images)


def _apart(score: str, difference: Interval) -> str:
    return f"{interval_text(difference)}, {verdict(score, difference)}"
