"""What can be evaluated: whatever makes meta-features of windows and probabilities of those."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import pandas as pd

from quantgod.contracts import Booleans, Floats, Integers, Progress, silent

Weights = tuple[float, ...]


class Answers(NamedTuple):
    """What is made of audited probabilities.

    Attributes:
        decided: (n,) the class of each row.
        holds: (n, 3) whether its conformal set holds a class.
        action: (n,) the class that is acted on: the decided one where the set holds it alone, else
            NEUTRAL.
    """

    decided: Integers
    holds: Booleans
    action: Integers


class Subject(Protocol):
    """A base model with its auditor, as trained or as served."""

    @property
    def name(self) -> str:
        """`NAME/VERSION`, or `run ID`."""
        ...

    @property
    def window(self) -> int:
        """Rows a window holds."""
        ...

    @property
    def base_weights(self) -> Weights:
        """Class weights of the base's loss; its decisions weigh by them."""
        ...

    @property
    def decision_weights(self) -> Weights:
        """By which audited probabilities become a class."""
        ...

    def meta_features(self, matrix: Floats, rows: Integers, progress: Progress = silent) -> Floats:
        """(n, 14) meta-features of the windows of raw `matrix` (rows, 9) that end at `rows`."""
        ...

    def base(self, meta: Floats) -> Floats:
        """(n, 3) the base's probabilities, its class weights undone."""
        ...

    def audited(self, meta: Floats) -> Floats:
        """(n, 3) the auditor's calibrated probabilities."""
        ...

    @property
    def promise(self) -> tuple[float, float]:
        """The share of rows whose conformal set is to hold their class, and the threshold."""
        ...

    def answers(self, audited: Floats) -> Answers:
        """What it makes of audited probabilities (n, 3), by a threshold of its own."""
        ...

    def answer_times(self, table: pd.DataFrame, rows: Integers) -> Floats | None:
        """(n,) ms that the window of `table` ending at each row takes alone, as it is served.

        None where nothing is served.
        """
        ...
