"""The interface of models that can be evaluated."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from quantgod.auditor.auditor_input import AuditorInput
from quantgod.contracts import Booleans, Floats, Integers, Progress, silent

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


class MissingColumnsError(ValueError):
    """A table lacks columns that a model takes."""


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
    def base_weights(self) -> Weights:
        """Return the class weights of the base's loss, also used for its decisions."""
        ...

    @property
    def decision_weights(self) -> Weights:
        """Return the weights that turn audited probabilities into a class."""
        ...

    def ask(self, matrix: Floats, rows: Integers, progress: Progress = silent) -> AuditorInput:
        """Return forecasts and meta-features of the windows of `matrix` that end at `rows`."""
        ...

    def audited(self, meta: Floats) -> Floats:
        """Return the auditor's calibrated probabilities (n, 3)."""
        ...

    @property
    def promise(self) -> tuple[float, float]:
        """Return the promised coverage of conformal sets, and the threshold."""
        ...

    def answers(self, audited: Floats) -> Answers:
        """Return classes, sets and actions for audited probabilities (n, 3)."""
        ...

    def answer_times(self, table: pd.DataFrame, rows: Integers) -> Floats | None:
        """Return the time of each window of `table` ending at `rows` alone, as served, in ms, (n,).

        None if nothing is served.
        """
        ...


def matrix_of(subject: Subject, table: pd.DataFrame) -> Floats:
    """Return the rows of a table as a model takes them, (rows, columns).

    Raises:
        MissingColumnsError: naming the first columns that are not there.
    """
    absent = [name for name in subject.columns if name not in table]
    if absent:
        raise MissingColumnsError(
            f"{subject.name} takes {len(subject.columns)} columns, of which the table lacks "
            f"{len(absent)}: {', '.join(absent[:3])} ...; settings whose network looks at them "
            "have them joined"
        )
    return table.loc[:, list(subject.columns)].to_numpy(np.float64)
