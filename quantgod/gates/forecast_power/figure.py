"""Draw the skill that was found in each series, with its interval."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import OTHER_COLOUR, SERIES_COLOURS, blank
from quantgod.gates.forecast_power.power import KINDS, Finding, ForecastPower

COLOURS: Final = dict(zip(KINDS, (OTHER_COLOUR, *SERIES_COLOURS), strict=False))


def skills(power: ForecastPower) -> Figure:
    """Draw skill of mean (widened intervals) and width at each gated horizon, a bar a series."""
    places = [n for n, look in enumerate(power.findings[0].looks) if look.is_gated]
    figure = blank(1.5 + 0.16 * len(power.findings) * len(places), 6.0)
    panels = figure.subplots(2, len(places), squeeze=False, sharex=True)
    for column, place in enumerate(places):
        looks = [one.looks[place] for one in power.findings]
        _draw(panels[0, column], power.findings, [look.mean.skill for look in looks])
        _draw(panels[1, column], power.findings, [look.width for look in looks])
        panels[0, column].set_title(f"{looks[0].ahead} ahead")
        panels[1, column].set_xlabel("series")
    panels[0, 0].set_ylabel(f"skill of the mean, of {power.findings[0].looks[0].mean.looks} looks")
    panels[1, 0].set_ylabel("skill of the width")
    panels[0, 0].legend(loc="upper left", frameon=False)
    return figure


def _draw(axes: Axes, findings: tuple[Finding, ...], skill: list[Interval]) -> None:
    for kind, colour in COLOURS.items():
        own = [n for n, one in enumerate(findings) if one.kind == kind]
        low, middle, high = (
            np.array([getattr(skill[n], end) for n in own]) for end in ("low", "value", "high")
        )
        axes.errorbar(
            own, middle, (middle - low, high - middle), fmt="o", ms=3, lw=1, color=colour,
            label=kind,
        )  # fmt: skip
    axes.axhline(0, color="black", lw=0.8)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set_xticks([])
