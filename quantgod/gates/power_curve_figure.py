"""Draw which share of models passes, by strength of the signal, a line for each number of days."""

from __future__ import annotations

from matplotlib.figure import Figure

from quantgod.evaluation.plots.style import SERIES_COLOURS, blank
from quantgod.gates.power import Power
from quantgod.gates.power_curve import places_of, share_interval

APART = 0.006
"""How far lines of other numbers of days are moved aside, so that no interval hides another."""


def curve_figure(power: Power) -> Figure:
    """Draw shares with their 95 % intervals."""
    places = places_of(power)
    figure = blank(7.0, 4.2)
    axes = figure.subplots()
    for number, days in enumerate(sorted({place.days for place in places})):
        own = {place: some for place, some in places.items() if place.days == days}
        shares = [sum(one.passed for one in some) / len(some) for some in own.values()]
        ends = [share_interval(sum(one.passed for one in some), len(some)) for some in own.values()]
        reach = [
            [max(share - low, 0.0) for share, (low, _) in zip(shares, ends, strict=True)],
            [max(high - share, 0.0) for share, (_, high) in zip(shares, ends, strict=True)],
        ]
        axes.errorbar(
            [place.signal + APART * (number - 1) for place in own], shares, yerr=reach, marker="o",
            capsize=3, color=SERIES_COLOURS[number % len(SERIES_COLOURS)], label=f"{days} days",
        )  # fmt: skip
    axes.set_xlabel("strength of the signal (simulate.signal)")
    axes.set_ylabel("share of models that pass")
    axes.set_ylim(-0.03, 1.03)
    axes.legend(loc="upper left", frameon=False)
    axes.set_title("which edge can be proved, with 95 % intervals")
    return figure
