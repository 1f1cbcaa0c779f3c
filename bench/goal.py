"""One figure of a bench and the goal it is held against.

Goals are ratios to a floor or a peer that the same run measures: a ratio means the same on any
machine. Seconds, milliseconds and bytes have no goal and only inform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Log = Callable[[str], None]
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Figure:
    """What was measured, and the most or the least it may be; without either it only informs.

    Attributes:
        here: what a ratio came to on this machine, such as `16 ms`; it only informs.
    """

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    here: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its goal."""
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    @property
    def goal(self) -> str:
        """The goal in words; empty if there is none."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word; empty if there is none."""
        return ("met" if self.is_met else "MISSED") if self.goal else ""


def said(value: float, unit: str = "") -> str:
    """A number as a table has it, with its unit: `309 MB`; 1.14 and a times sign for `x`."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {TIMES if unit == 'x' else unit}".strip()
