"""Two versions on the same minutes: what a challenger must show to take the champion's place.

Both are scored on the same rows with the same weights, so the difference is free of what those rows
had in store for either. The challenger wins where

- its log-loss is lower, the interval of the difference clear of zero: a proper score, which luck
  with a few decisions does not move far;
- its macro-F1 is not lower: better probabilities must not cost decisions, and a new calibration
  that leaves each decision as it was is allowed.

Of 400 equal challengers on synthetic forecasts (2,000 and 5,000 minutes) 11 won. What is too short
to tell is no win: 1,000 neighbouring minutes hold 17 independent hours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from quantgod.contracts import Integers
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.gates.report import Duel


class Truth(NamedTuple):
    """What came of those rows, in order of time; several symbols may share a minute.

    `time_ms` and `label_end_ms` are epoch milliseconds of the row's minute and its label's last.
    """

    target: Integers
    time_ms: Integers
    label_end_ms: Integers

    @property
    def effective_rows(self) -> float:
        """How many labels that share no minute they equal; symbols side by side count once."""
        return effective_rows(self.time_ms, self.label_end_ms)


def duel(truth: Truth, challenger: ModelOutput, champion: ModelOutput, least_rows: float) -> Duel:
    """Compare two versions that spoke of the same rows.

    Args:
        truth: of the rows.
        challenger: what it said of them.
        champion: likewise.
        least_rows: how many effective rows a verdict takes at least.
    """
    rows, effective = len(truth.target), truth.effective_rows
    if effective < least_rows:
        worth = math.floor(effective * 10) / 10
        left = f"{rows} rows are left, worth {worth} independent ones"
        problem = f"{left}; {least_rows:g} are needed"
        return Duel(rows=rows, effective_rows=effective, problem=problem, too_few=True)
    sides = {"challenger": challenger, "champion": champion}
    found = compare(truth.target, sides, effective).differences["champion"]
    log_loss, macro_f1 = found["log_loss"], found["macro_f1"]
    return Duel(
        rows=rows,
        effective_rows=effective,
        log_loss=log_loss,
        macro_f1=macro_f1,
        too_few=not log_loss.enough,
    )
