"""Draw what a leak audit has compared, and its cuts."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from quantgod.dataset.book_blocks import BookBlocks
from quantgod.evaluation.evidence import LeakAuditResult
from quantgod.evaluation.plots.style import blank
from quantgod.leakage.borders import Borders, borders_of
from quantgod.leakage.pipeline import books_seen, in_small, newest
from quantgod.settings import Settings

SOUND, LEAKING, BORDER = "#0072b2", "#d55e00", "0.7"
STEP_POINTS = 12
SCOPE_CHARACTERS = 150


def leak_figure(
    result: LeakAuditResult,
    bars: pd.DataFrame,
    settings: Settings,
    blocks: BookBlocks | None = None,
) -> Figure:
    """Draw the compared values by stage, and the cuts in time among the pipeline's borders.

    Args:
        result: of an audit of these bars under these settings.
        bars: as `audit_leaks` got them.
        settings: as `audit_leaks` got them.
        blocks: as `audit_leaks` got them.
    """
    figure = blank(12, 2.6 + 0.3 * len(result.compared))
    axes: Any = figure.subplots(1, 2, width_ratios=[3, 2])
    figure.supxlabel(fill(result.scope, SCOPE_CHARACTERS), fontsize="small", color="0.4")
    _stages(axes[0], result)
    taken = newest(bars, settings)
    seen = None if blocks is None else books_seen(taken, blocks)
    borders = borders_of(pd.DatetimeIndex(taken.index), in_small(settings), seen)
    _cuts(axes[1], result, taken, borders)
    return figure


def _stages(axes: Axes, result: LeakAuditResult) -> None:
    leaking = [leak.partition(":")[0] for leak in result.leaks]
    names = list(result.compared)
    for kind, counts, place in (
        ("known by the cut", result.compared, -0.2),
        ("known later, and changed", result.changed, 0.2),
    ):
        colours = [LEAKING if name in leaking and place < 0 else SOUND for name in names]
        bars = axes.barh(
            [row + place for row in range(len(names))],
            [counts.get(name, 0) for name in names],
            height=0.38,
            color=colours,
            alpha=1.0 if place < 0 else 0.35,
            label=kind,
        )
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize="small")
    shown = [f"{name} ({result.nearest.get(name, '–')})" for name in names]  # noqa: RUF001
    axes.set_yticks(range(len(names)), shown)
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=1)
    axes.margins(x=0.15)
    axes.set(title=f"{len(result.leaks)} leaks", xlabel="values, at all cuts together")
    axes.set_ylabel("stage (rows it must look ahead to be seen)")
    beside_short_bars = (1.0, 0.8)  # scalers and models are few
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=beside_short_bars)


def _cuts(axes: Axes, result: LeakAuditResult, bars: pd.DataFrame, borders: Borders) -> None:
    named = {"calibration": borders.calibration, "validation": borders.validation}
    named |= {f"fold {fold}": time for fold, time in enumerate(borders.folds, 1)}
    named |= {"test": borders.test}
    # The names go down in steps, the newest lowest, so that close borders do not overlap.
    for step, name in enumerate(sorted(named, key=named.__getitem__, reverse=True)):
        time = _place_of(pd.Timestamp(named[name], unit="ms", tz="UTC"))
        axes.axvline(time, color=BORDER, linewidth=0.9)
        axes.annotate(
            name, (time, 1), xytext=(0, 3 + STEP_POINTS * step), textcoords="offset points",
            xycoords=axes.get_xaxis_transform(), fontsize="small",
            arrowprops={"arrowstyle": "-", "color": BORDER, "relpos": (0, 0), "shrinkA": 0},
        )  # fmt: skip
    first, last = _place_of(bars.index[0]), _place_of(bars.index[-1])
    for row, cut in enumerate(result.cuts):
        leaked = any(f"the cut at {cut} " in leak for leak in result.leaks)
        colour, time = LEAKING if leaked else SOUND, _place_of(pd.Timestamp(cut))
        axes.hlines(row, first, time, color=colour, linewidth=1.2)
        axes.hlines(row, time, last, color=colour, linewidth=1.2, linestyle=":")
        axes.plot([time], [row], "|", color=colour, markersize=12)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize="small")
    axes.set_xlabel("UTC; dotted: perturbed", loc="left")
    axes.set_ylabel("cuts")
    axes.invert_yaxis()
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _place_of(time: pd.Timestamp) -> float:
    return float(date2num(time))  # type: ignore[no-untyped-call]
