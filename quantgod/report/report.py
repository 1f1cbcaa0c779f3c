"""An evaluation's report: figures, one page that opens without a network, tables and a card."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import msgspec
import pandas as pd
from matplotlib.figure import Figure

from quantgod.contracts import Progress, silent
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.subject import Subject
from quantgod.report.card import model_card
from quantgod.report.examination import examine, said_out_of_fold
from quantgod.report.figures import report_figures
from quantgod.report.page import page
from quantgod.settings import Settings


@dataclass(frozen=True, eq=False)
class Report:
    """What is kept of an evaluation beside its record.

    Attributes:
        figures: by the name of their file.
        images: the same as PNG files, as they stand in the page.
        html: one page that holds all of it and loads nothing.
        tables: JSON-able; what the figures were drawn from.
        card: the model card, Markdown.
    """

    figures: dict[str, Figure]
    images: dict[str, bytes]
    html: str
    tables: dict[str, Any]
    card: str


def complete(
    evaluated: Evaluation,
    subject: Subject,
    table: pd.DataFrame,
    settings: Settings,
    progress: Progress = silent,
    out_of_fold: pd.DataFrame | None = None,
    market: str = "",
) -> Report:
    """Look into an evaluation, draw it, and write it up.

    Args:
        evaluated: what `evaluate` left behind.
        subject: that was evaluated; it is asked of permuted windows.
        table: the labelled table that was read.
        settings: of label, evaluate and gates.
        progress: hears of permutations.
        out_of_fold: the audit's rows, from which the shift of its probabilities is drawn; without
            them its figures alone are shown.
        market: that the market is simulated, if it is.
    """
    examined = examine(evaluated, subject, table, settings, progress)
    before = None if out_of_fold is None else said_out_of_fold(subject, out_of_fold)
    figures = report_figures(evaluated, examined, table, settings, before)
    images = {item.name: png(item.figure) for item in figures}
    return Report(
        figures={item.name: item.figure for item in figures},
        images=images,
        html=page(evaluated, examined, table, settings, figures, images, market),
        tables=msgspec.to_builtins(examined),
        card=model_card(evaluated, examined, table, settings, market),
    )


def png(figure: Figure) -> bytes:
    """A figure as a PNG file; the same figure gives the same bytes."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png", metadata={"Software": None})
    return memory.getvalue()
