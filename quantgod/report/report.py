"""Make an evaluation's report: figures, a self-contained page, tables and a card."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import msgspec
import pandas as pd
from matplotlib.figure import Figure

from quantgod.contracts import Progress, silent
from quantgod.dataset.book_blocks import BookBlocks
from quantgod.evaluation.evaluate import said_out_of_fold
from quantgod.evaluation.evaluation import Evaluation
from quantgod.evaluation.subject import Subject
from quantgod.report.card import model_card
from quantgod.report.examination import examine
from quantgod.report.figures import report_figures
from quantgod.report.page import page
from quantgod.settings import Settings


@dataclass(frozen=True, eq=False)
class Report:
    """The files of an evaluation besides its record.

    Attributes:
        figures: by file name.
        images: the same as PNG files, as in the page.
        html: one self-contained page with everything.
        tables: JSON-able data of the figures.
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
    blocks: BookBlocks | None = None,
) -> Report:
    """Examine an evaluation, draw its figures and write its report.

    Args:
        evaluated: the result of `evaluate`.
        subject: the evaluated model; it also predicts permuted windows.
        table: the labelled table.
        settings: label, evaluate and gates are read.
        progress: called after permutations.
        out_of_fold: the audit's rows, for the figure of the probabilities' shift; without them only
            its numbers are shown.
        market: says that the market is simulated, if it is.
        blocks: of the book, for a model that looks at it.
    """
    examined = examine(evaluated, subject, table, settings, progress, blocks)
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
    """Return a figure as PNG bytes; the same figure gives the same bytes."""
    memory = io.BytesIO()
    figure.savefig(memory, format="png", metadata={"Software": None})
    return memory.getvalue()
