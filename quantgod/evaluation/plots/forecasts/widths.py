"""Draw how wide forecasts are, whether that holds, and what they say of the days to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantgod.contracts import Floats
from quantgod.evaluation.forecasts.coverage import PIT_SHARES
from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation, ForecastScores
from quantgod.evaluation.plots.forecasts.learned import Times, dates
from quantgod.evaluation.plots.style import OTHER_COLOUR, SERIES_COLOURS, blank, in_a_row
from quantgod.evaluation.wording import ahead_text
from quantgod.served.candles.quantiles import LEVELS, MEDIAN

_BANDS: Final = ((0, 6, 0.15), (1, 5, 0.25), (2, 4, 0.4))
"""Positions in `LEVELS` of both ends of each band, and how dense it is drawn."""
_ACROSS: Final = 2


@dataclass(frozen=True, eq=False)
class Fan:
    """The newest forecasts of one coin.

    Attributes:
        coin: its name.
        time: (n,) closes of past candles, the last one at issue.
        close: (n,) their prices.
        due: (H,) when each horizon ends, nearest first.
        prices: (H, levels) quantiles of the price then, at `LEVELS`.
    """

    coin: str
    time: Times
    close: Floats
    due: Times
    prices: Floats


def fan_chart(fans: Sequence[Fan]) -> Figure:
    """Draw past prices and the bands of those to come, one panel per coin."""
    rows = -(-len(fans) // _ACROSS)
    figure = blank(6 * min(len(fans), _ACROSS), 0.6 + 3.4 * rows)
    panels: Any = figure.subplots(rows, min(len(fans), _ACROSS), squeeze=False)
    for axes in panels.flat[len(fans) :]:
        axes.set_axis_off()
    for axes, fan in zip(panels.flat, fans, strict=False):
        _fan(axes, fan)
    panels.flat[0].legend(frameon=False, loc="upper left", fontsize="small")
    return figure


def coverage(evaluation: ForecastEvaluation) -> Figure:
    """Draw the coverage of central intervals, raw and as issued, a panel per horizon."""
    figure = blank(4.2 * len(evaluation.horizons), 3.4)
    panels = in_a_row(figure, len(evaluation.horizons), sharey=True)
    for axes, one in zip(panels, evaluation.horizons, strict=True):
        scores = one.models[evaluation.subject]
        _covered(axes, scores)
        axes.set_title(f"{ahead_text(one.steps * evaluation.step_ms)} ahead")
        axes.set_xlabel("outcomes within, %")
    promised = [
        found.promised for found in evaluation.horizons[0].models[evaluation.subject].coverage
    ]
    panels[0].set_yticks(range(len(promised)), [f"{share:.0%}" for share in promised])
    panels[0].set_ylabel("interval")
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def pit(evaluation: ForecastEvaluation) -> Figure:
    """Draw where outcomes fell among the quantiles, over what was promised: 1 is perfect."""
    figure = blank(4.2 * len(evaluation.horizons), 3.4)
    panels = in_a_row(figure, len(evaluation.horizons), sharey=True)
    edges = np.array([0.0, *LEVELS, 1.0])
    for axes, one in zip(panels, evaluation.horizons, strict=True):
        scores = one.models[evaluation.subject]
        issued = np.array(scores.pit) / PIT_SHARES
        axes.stairs(issued, edges, fill=True, color=SERIES_COLOURS[0], alpha=0.6, label="as issued")
        if scores.pit_raw is not None:
            raw = np.array(scores.pit_raw) / PIT_SHARES
            axes.stairs(raw, edges, color="black", linewidth=1.2, label="raw")
        axes.axhline(1, color="0.4", linewidth=1, linestyle="dashed")
        axes.set(
            title=f"{ahead_text(one.steps * evaluation.step_ms)} ahead", xlabel="quantile level"
        )
    panels[0].set_ylabel("outcomes, of those promised")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _covered(axes: Axes, scores: ForecastScores) -> None:
    for place, found in enumerate(scores.coverage):
        promised = axes.vlines(100 * found.promised, place - 0.35, place + 0.35, color="black")
        kinds = ((found.raw, OTHER_COLOUR, -0.15, "raw"),
                 (found.issued, SERIES_COLOURS[0], 0.15, "as issued"))  # fmt: skip
        for share, colour, aside, label in kinds:
            if share is None:
                continue
            at, name = place + aside, label if place == 0 else None
            axes.plot(100 * share.value, at, "o", color=colour, label=name)
            if share.enough:
                axes.hlines(at, 100 * share.low, 100 * share.high, color=colour)
        if place == 0:
            promised.set_label("promised")
    axes.margins(y=0.15)


def _fan(axes: Axes, fan: Fan) -> None:
    axes.plot(fan.time, fan.close, color="black", linewidth=1.1)
    time = np.concatenate([fan.time[-1:], fan.due])
    now = np.full((1, len(LEVELS)), fan.close[-1])
    prices = np.vstack([now, fan.prices])
    for low, high, dense in _BANDS:
        axes.fill_between(
            time, prices[:, low], prices[:, high], color=SERIES_COLOURS[0], alpha=dense,
            linewidth=0, label=f"{LEVELS[high] - LEVELS[low]:.0%}",
        )  # fmt: skip
    axes.plot(time, prices[:, MEDIAN], color=SERIES_COLOURS[1], label="median")
    axes.plot(fan.due, fan.prices[:, MEDIAN], ".", color=SERIES_COLOURS[1])
    axes.set(title=fan.coin, ylabel="price")
    axes.yaxis.set_major_formatter("{x:,.10g}")
    dates(axes)
