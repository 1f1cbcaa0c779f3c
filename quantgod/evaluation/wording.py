"""Format figures for people, in the same way on cards, in reports and at gates."""

from __future__ import annotations

import math
from typing import Final, Literal

from quantgod.contracts import MS_PER_MINUTE
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import LOWER_IS_BETTER

Verdict = Literal["better", "not shown to be better", "worse"]

LEAST_DECIMALS: Final = 3
MOST_DECIMALS: Final = 6


def interval_text(found: Interval | None) -> str:
    """Return `0.612 [0.553, 0.671]`, or the reason for missing bounds, or a dash without a value.

    Scores have three decimals, or more to show two digits of a narrow interval's width; sums from
    100 on have none.
    """
    if found is None:
        return "-"
    decimals = _decimals(found)
    value, low, high = (f"{round(end, decimals) + 0.0:,.{decimals}f}" for end in found[:3])
    return f"{value} [{low}, {high}]" if found.enough else f"{value} ({found.lacks})"


def number_text(value: float) -> str:
    """Return three digits, or all before the point: `0.612`, `-12.3`, `10,250`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value + 0.0:.3g}"


def share_text(share: float) -> str:
    """Return a share in percent: `0.0487%`, `10%`."""
    return f"{number_text(100 * share)}%"


def milliseconds_text(value: float) -> str:
    """Return `36.5 ms`."""
    return f"{number_text(value)} ms"


def ahead_text(ms: int) -> str:
    """Return how far ahead a horizon looks, in the largest unit that fits.

    >>> ahead_text(7 * 86_400_000), ahead_text(3_600_000), ahead_text(90 * 60_000)
    ('7 days', '1 hour', '90 minutes')
    """
    for unit, length in (("day", 86_400_000), ("hour", 3_600_000)):
        if ms % length == 0:
            return f"{ms // length} {unit}{'' if ms == length else 's'}"
    return f"{ms // MS_PER_MINUTE} minutes" if ms != MS_PER_MINUTE else "1 minute"


def account_text(outcome: str) -> str:
    """Return an account's outcome in words: `target reached`, `daily loss limit broken`, `open`."""
    said = {"target": "target reached"}.get(outcome, outcome.replace("_", " "))
    return f"{said} limit broken" if said.endswith("loss") else said


def _decimals(found: Interval) -> int:
    if max(abs(found.value), abs(found.low), abs(found.high)) >= 100:
        return 0
    width = found.high - found.low
    if not (found.enough and width > 0):
        return LEAST_DECIMALS
    return min(MOST_DECIMALS, max(LEAST_DECIMALS, 1 - math.floor(math.log10(width))))


def verdict(score: str, difference: Interval) -> Verdict:
    """Return whether the first of two models is better, from its score minus the other's."""
    if not difference.enough:
        return "not shown to be better"
    low, high = difference.low, difference.high
    if score in LOWER_IS_BETTER:
        low, high = -high, -low
    if low > 0:
        return "better"
    return "worse" if high < 0 else "not shown to be better"
