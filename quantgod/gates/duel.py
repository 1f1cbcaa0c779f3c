"""Compare two versions on the same minutes: may the challenger replace the champion?

Both are scored on the same rows with the same weights, so the rows' luck cancels in the difference.
The challenger wins if

- its log-loss is lower, with an interval of the difference that excludes zero (log-loss is a proper
  score, which luck with a few decisions does not move far), and
- its macro-F1 is not lower: better probabilities must not worsen decisions, but a new calibration
  that changes no decision is allowed.

Of 400 equal challengers on synthetic forecasts (2,000 and 5,000 minutes) 11 won. Too few rows are
not a win: 1,000 neighbouring minutes hold only 17 independent hours.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from quantgod.contracts import Integers
from quantgod.evaluation.comparison import ModelOutput, compare
from quantgod.evaluation.effective_size import effective_rows
from quantgod.gates.report import Duel


class Truth(NamedTuple):
    """The outcomes of the rows, in order of time; several symbols may share a minute.

    `time_ms` and `label_end_ms` are the row's minute and its label's last minute, epoch
    milliseconds.
    """

    target: Integers
    time_ms: Integers
    label_end_ms: Integers

    @property
    def effective_rows(self) -> float:
        """Return the number of independent labels; several symbols in one minute count once."""
        return effective_rows(self.time_ms, self.label_end_ms)


def duel(truth: Truth, challenger: ModelOutput, champion: ModelOutput, least_rows: float) -> Duel:
    """Compare two versions on the same rows.

    Args:
        truth: outcomes of the rows.
        challenger: the challenger's output.
        champion: the champion's output.
        least_rows: minimal number of effective rows for a verdict.
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
