"""Compare figures with bounds, and format both."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.wording import interval_text, number_text
from quantgod.gates.report import Gate

NOT_ASKED: Final = "not asked for"
TOO_FEW: Final = "too few independent rows to tell"


def above(name: str, found: Interval, bound: float | None, detail: str) -> Gate:
    """Return a gate that passes if the interval's low end lies above the bound."""
    asked = None if bound is None else f"> {number_text(bound)}"
    is_kept = bound is not None and found.low > bound
    return judged_by(name, found, asked, is_kept, detail)


def at_most(
    name: str,
    found: Interval | float,
    bound: float | None,
    detail: str,
    text: Callable[[float], str] = number_text,
) -> Gate:
    """Return a gate that passes if the figure is at most the bound; `text` formats both."""
    asked = None if bound is None else f"<= {text(bound)}"
    is_kept = bound is not None and _value(found) <= bound
    if isinstance(found, Interval):
        return judged_by(name, found, asked, is_kept, detail)
    return judged(name, text(found), asked, is_kept, detail, found)


def at_least(name: str, found: Interval | float, bound: float | None, detail: str) -> Gate:
    """Return a gate that passes if the figure is at least the bound."""
    asked = None if bound is None else f">= {number_text(bound)}"
    is_kept = bound is not None and _value(found) >= bound
    if isinstance(found, Interval):
        return judged_by(name, found, asked, is_kept, detail)
    return judged(name, number_text(found), asked, is_kept, detail, found)


def judged(
    name: str, figure: str, bound: str | None, is_kept: bool, detail: str, *figures: float
) -> Gate:
    """Return a gate that fails if one of `figures` is NaN; without a bound it has no verdict."""
    if bound is None:
        return Gate(name, figure, NOT_ASKED, None, detail)
    return Gate(name, figure, bound, is_kept and not any(map(math.isnan, figures)), detail)


def judged_by(name: str, found: Interval, bound: str | None, is_kept: bool, detail: str) -> Gate:
    """Return a gate for an interval; it is not judged if the interval has too little data."""
    figure = interval_text(found)
    if bound is not None and not found.enough:
        return unjudged(name, figure, bound, f"{detail}; {found.why or TOO_FEW}")
    return judged(name, figure, bound, is_kept, detail, found.value, found.low, found.high)


def unjudged(name: str, figure: str, bound: str, why: str) -> Gate:
    """Return a gate with too little data: it does not pass."""
    return Gate(name, figure, bound, None, why, unjudged=True)


def _value(found: Interval | float) -> float:
    return found.value if isinstance(found, Interval) else found
