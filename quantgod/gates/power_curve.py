"""Tell which edge can be proved: how many models pass, by strength of the signal and days of data.

Shares have Clopper and Pearson's exact 95 % intervals (1934, "The Use of Confidence or Fiducial
Limits Illustrated in the Case of the Binomial", Biometrika 26).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from scipy.special import betaincinv

from quantgod.evaluation.intervals import LEVEL
from quantgod.gates.power import Cell, Market, Power, Rehearsal
from quantgod.settings import CurveSettings, PowerSettings

PLANTED_SEEDS: Final = 10_000
"""How far the seeds of planted markets lie behind those of null ones, so that either may grow."""

HALVES: Final = {False: "null", True: "null that trade"}
"""Null markets by whose settings they have."""

GRID_HEAD: Final = "signal"
STOPPED: Final = "stopped most often by"
PLACE_HEAD: Final = (
    "signal", "days", "labels", "passed", "95 %", "macro-F1", "trades", "net P&L", STOPPED,
)  # fmt: skip
NULL_HEAD: Final = ("markets", "passed", "at most", "trades", "net P&L", STOPPED)


def curve_markets(settings: PowerSettings, curve: CurveSettings) -> list[Market]:
    """Return all markets of a curve: null ones, then planted ones, in turn of each place.

    A null market of an odd number has the settings under which models trade. Who asks for more
    gets the same markets and others besides.
    """
    first, days = settings.first_seed, curve.days
    null = [
        Market("null", first + number, Cell(0.0, days[number // 2 % len(days)], number % 2 == 1))
        for number in range(settings.null_markets)
    ]
    places = [Cell(signal, some) for signal, some in product(curve.signals, days)]
    planted = [
        Market("planted", first + PLANTED_SEEDS + number, places[number % len(places)])
        for number in range(settings.planted_markets * len(places))
    ]
    return [*null, *planted]


def share_interval(passed: int, of: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share.

    >>> [round(end, 3) for end in share_interval(9, 10)]
    [0.555, 0.997]
    """
    tail = (1 - LEVEL) / 2
    low = 0.0 if passed == 0 else float(betaincinv(passed, of - passed + 1, tail))
    high = 1.0 if passed == of else float(betaincinv(passed + 1, of - passed, 1 - tail))
    return low, high


def share_at_most(passed: int, of: int) -> float:
    """Return what a share is below with 95 % confidence: the exact one-sided bound.

    >>> round(share_at_most(0, 200), 4)
    0.0149
    """
    return 1.0 if passed == of else float(betaincinv(passed + 1, of - passed, LEVEL))


def places_of(power: Power) -> dict[Cell, list[Rehearsal]]:
    """Return rehearsals by place: from nothing to the strongest signal, then by days."""
    places: dict[Cell, list[Rehearsal]] = {}
    for one in power.rehearsals:
        if one.cell is not None and not one.cell.trades:
            places.setdefault(one.cell, []).append(one)
    return dict(sorted(places.items()))


def grid(power: Power) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a row per strength, a column per number of days, `9 of 10` in each."""
    places = places_of(power)
    days = sorted({place.days for place in places})
    signals = sorted({place.signal for place in places})
    rows = [
        [f"{signal:g}", *(_passed(places.get(Cell(signal, some), [])) for some in days)]
        for signal in signals
    ]
    return [GRID_HEAD, *(f"{some} days" for some in days)], rows


def place_rows(power: Power) -> list[list[str]]:
    """Return a row per place: how many passed, with an interval, and what their models were."""
    return [
        [
            f"{place.signal:g}",
            str(place.days),
            f"{_mean(some, 'effective_rows'):,.0f}",
            _passed(some),
            "{:.0%} to {:.0%}".format(*share_interval(_count(some), len(some))),
            f"{_mean(some, 'macro_f1'):.2f}",
            f"{_median(some, 'trades'):,.0f}",
            f"{_median(some, 'net_pnl'):,.0f}",
            stopped_by(some),
        ]
        for place, some in places_of(power).items()
    ]


def null_rows(power: Power) -> list[list[str]]:
    """Return a row per half of the null markets and one of all, with bounds and trades."""
    halves = {said: _half(power, trades) for trades, said in HALVES.items()}
    return [
        [
            said,
            _passed(some),
            f"{share_at_most(_count(some), len(some)):.2%}",
            _range(some, "trades"),
            _range(some, "net_pnl"),
            stopped_by(some),
        ]
        for said, some in (halves | {"all null": list(power.of("null"))}).items()
        if some
    ]


def null_gate_rows(power: Power) -> list[list[str]]:
    """Return a row per gate: how many models of each half of the null markets it let through."""
    counts = [
        Power(rehearsals=tuple(_half(power, trades)), planted_passes=1).gate_counts("null")
        for trades in HALVES
    ]
    asked = {name: None for half in counts for name, count in half.items() if count.judged}
    return [
        [
            name,
            *(
                f"{half[name].passed}/{half[name].judged}" if name in half else "-"
                for half in counts
            ),
        ]
        for name in asked
    ]


def stopped_by(some: Sequence[Rehearsal], most: int = 3) -> str:
    """Return the gates that stopped most of these models: `coverage 4, net_pnl 2`."""
    counts = Counter(name for one in some for name in one.failed)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(most)) or "-"


def curve_problem(power: Power, curve: CurveSettings) -> str:
    """Return what the curve says against the gates; empty if nothing."""
    wrong, null = [], power.of("null")
    passed = power.passes("null")
    if (bound := share_at_most(passed, len(null))) > curve.false_passes:
        wrong.append(
            f"{passed} of {len(null)} models of null markets passed: at most {bound:.2%} of all "
            f"do, and no more than {curve.false_passes:.2%} was expected"
        )
    best = places_of(power).get(Cell(curve.signals[-1], curve.days[-1]), [])
    if (found := _count(best)) < power.planted_passes:
        wrong.append(
            f"{found} of {len(best)} models of the strongest signal with the most days passed, at "
            f"least {power.planted_passes} expected"
        )
    return "; ".join(wrong)


def _half(power: Power, trades: bool) -> list[Rehearsal]:
    return [one for one in power.of("null") if one.cell is not None and one.cell.trades is trades]


def _count(some: Sequence[Rehearsal]) -> int:
    return sum(one.passed for one in some)


def _passed(some: Sequence[Rehearsal]) -> str:
    return f"{_count(some)} of {len(some)}" if some else "-"


def _values(some: Sequence[Rehearsal], figure: str) -> list[float]:
    return [one.figures[figure] for one in some]


def _mean(some: Sequence[Rehearsal], figure: str) -> float:
    return float(np.mean(_values(some, figure)))


def _median(some: Sequence[Rehearsal], figure: str) -> float:
    return float(np.median(_values(some, figure)))


def _range(some: Sequence[Rehearsal], figure: str) -> str:
    values = _values(some, figure)
    return f"{np.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
