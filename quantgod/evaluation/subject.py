"""The interface of models that can be evaluated."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from quantgod.auditor.auditor_input import AuditorInput
from quantgod.contracts import Booleans, Floats, Integers, Progress, silent
from quantgod.dataset.book_blocks import BookBlocks, RowBlocks, row_blocks

Weights = tuple[float, ...]


class Answers(NamedTuple):
    """Classes, sets and actions from audited probabilities.

    Attributes:
        decided: (n,) class of each row.
        holds: (n, 3) whether a class is in the conformal set.
        action: (n,) class to act on: the decided one if it is alone in the set, else NEUTRAL.
    """

    decided: Integers
    holds: Booleans
    action: Integers


class Outcomes(NamedTuple):
    """What came of the rows of a table, by which weights of members move once it is known.

    Attributes:
        time_ms: (rows,) minute.
        label_end_ms: (rows,) last minute of the label; that of the row itself without one.
        target: (rows,) class that came, or `NO_TARGET`.
    """

    time_ms: Integers
    label_end_ms: Integers
    target: Integers


class RawMaterial(NamedTuple):
    """The rows of a table as a model takes them.

    Attributes:
        matrix: (rows, columns).
        book: the blocks of the rows, for a model that looks at the book.
        outcomes: of the rows, for an ensemble; None where weights stay as they are.
        earlier: rows before those that are asked for, rising, whose outcomes move weights too.
    """

    matrix: Floats
    book: RowBlocks | None = None
    outcomes: Outcomes | None = None
    earlier: Integers = np.empty(0, np.int64)


class MissingColumnsError(ValueError):
    """A table lacks columns that a model takes."""


class MissingBooksError(ValueError):
    """A table lacks the blocks of the book that a model takes, or has others."""


class Subject(Protocol):
    """A base model with its auditor, as trained or as served."""

    @property
    def name(self) -> str:
        """Return `NAME/VERSION`, or `run ID`."""
        ...

    @property
    def window(self) -> int:
        """Return the rows per window."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns of a row that it takes, the nine features first."""
        ...

    @property
    def block(self) -> tuple[int, int] | None:
        """Return the snapshots of a block and levels a side, if it looks at the book."""
        ...

    @property
    def base_weights(self) -> Weights:
        """Return the class weights of the base's loss, also used for its decisions."""
        ...

    @property
    def decision_weights(self) -> Weights:
        """Return the weights that turn audited probabilities into a class."""
        ...

    def ask(
        self, material: RawMaterial, rows: Integers, progress: Progress = silent
    ) -> AuditorInput:
        """Return forecasts and meta-features of the windows of `material` that end at `rows`.

        Where an ensemble has no answer, they are no numbers.
        """
        ...

    def audited(self, meta: Floats) -> Floats:
        """Return the auditor's calibrated probabilities (n, 3)."""
        ...

    def confidence(self, seen: AuditorInput) -> Floats | None:
        """Return how likely the base's decided class is right, (n,); None if it does not say."""
        ...

    @property
    def promise(self) -> tuple[float, float]:
        """Return the promised coverage of conformal sets, and the threshold."""
        ...

    def answers(self, audited: Floats, consent: Integers | None = None) -> Answers:
        """Return classes, sets and actions for audited probabilities (n, 3).

        Args:
            audited: calibrated.
            consent: (n,) class that the members of an ensemble would trade on.
        """
        ...

    def answer_times(
        self, table: pd.DataFrame, rows: Integers, book: RowBlocks | None = None
    ) -> Floats | None:
        """Return the time of each window of `table` ending at `rows` alone, as served, in ms, (n,).

        None if nothing is served.
        """
        ...


def material_of(
    subject: Subject, table: pd.DataFrame, blocks: BookBlocks | None = None
) -> RawMaterial:
    """Return the rows of a table as a model takes them.

    Args:
        subject: the model.
        table: with the columns that it takes.
        blocks: of the book, for a model that looks at it; each seen row has a whole one.

    Raises:
        MissingColumnsError: naming the first columns that are not there.
        MissingBooksError: if the blocks are not there, or of another shape.
    """
    absent = [name for name in subject.columns if name not in table]
    if absent:
        raise MissingColumnsError(
            f"{subject.name} takes {len(subject.columns)} columns, of which the table lacks "
            f"{len(absent)}: {', '.join(absent[:3])} ...; settings whose network looks at them "
            "have them joined"
        )
    matrix = table.loc[:, list(subject.columns)].to_numpy(np.float64)
    outcomes = outcomes_of(table)
    if subject.block is None:
        return RawMaterial(matrix, outcomes=outcomes)
    if blocks is None or blocks.book != subject.block:
        came = "none" if blocks is None else f"blocks of {blocks.book}"
        raise MissingBooksError(
            f"{subject.name} takes blocks of {subject.block} snapshots and levels of the book, and "
            f"got {came}; settings whose network looks at the book have them read"
        )
    return RawMaterial(matrix, row_blocks(blocks, pd.DatetimeIndex(table.index)), outcomes)


def outcomes_of(table: pd.DataFrame) -> Outcomes | None:
    """Return what came of the rows of a labelled table; None of one without labels."""
    if "label_end" not in table:
        return None
    times, ends = pd.DatetimeIndex(table.index), pd.DatetimeIndex(table["label_end"])
    time_ms = times.as_unit("ms").asi8
    end_ms = np.where(ends.isna(), time_ms, ends.as_unit("ms").asi8)
    return Outcomes(time_ms, end_ms, table["target"].to_numpy(np.int64))
