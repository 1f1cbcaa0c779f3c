"""What an evaluation says in words: a difference is shown only if its interval is clear of zero."""

from __future__ import annotations

from typing import Final, Literal

from quantgod.evaluation.bootstrap import Interval
from quantgod.evaluation.plots.style import LOWER_IS_BETTER

Verdict = Literal["better", "not shown to be better", "worse"]

DECISIVE: Final = ("macro_f1", "log_loss")
"""Scores that a verdict is given on: of decisions, and of probabilities."""


def verdict(score: str, difference: Interval) -> Verdict:
    """Whether the first of two is better by a score, from its value minus the other's."""
    sign = -1 if score in LOWER_IS_BETTER else 1
    low, high = sorted((sign * difference.low, sign * difference.high))
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not shown to be better"
