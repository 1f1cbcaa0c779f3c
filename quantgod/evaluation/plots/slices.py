"""Draw scores by slice of the test rows, with intervals, for base and auditor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quantgod.contracts import CLASSES
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import FEW_ROWS, MODEL_COLOURS, OTHER_COLOUR, blank, in_a_row
from quantgod.evaluation.selective import COVERAGES, Curve
from quantgod.evaluation.slices import Slices

SMALL = "small"


def slices(cuts: Mapping[str, Slices], scores: Mapping[str, str], overall: Slices) -> Figure:
    """Draw one row per score, one column per grouping; dotted lines mark the score of all rows.

    Hollow dots have fewer than 20 effective rows.

    Args:
        cuts: groupings by title.
        scores: titles by score.
        overall: the grouping with all rows in one slice.
    """
    widths = [len(cut) + 0.6 for cut in cuts.values()]
    figure = blank(1.5 + 0.85 * sum(widths), 1.2 + 2.9 * len(scores))
    grid: Any = figure.subplots(
        len(scores), len(cuts), squeeze=False, sharex="col", sharey="row", width_ratios=widths
    )
    for row, (score, title) in zip(grid, scores.items(), strict=True):
        for axes, cut in zip(row, cuts.values(), strict=True):
            _overall_lines(axes, overall, score)
            _models(axes, dict.fromkeys(MODEL_COLOURS, cut), score)
            _name_slices(axes, cut)
        row[0].set_ylabel(title)
        row[0].set_ylim(bottom=0)
    for axes, title in zip(grid[0], cuts, strict=True):
        axes.set_title(title)
    _legend(figure, grid[0, 0])
    return figure


def tiers(models: Mapping[str, Slices], lower_ends: Sequence[float]) -> Figure:
    """Draw accuracy, precision and recall by tier of confidence, and the rows of each tier.

    Bars behind the accuracy show the tiers: a calibrated model's dots lie inside them.

    Args:
        models: slices by tier, by model.
        lower_ends: of the tiers above the lowest.
    """
    figure = blank(15, 6.4)
    grid: Any = figure.subplots(2, 1 + len(CLASSES), sharex=True, sharey=True)
    for place, (low, high) in enumerate(zip([0, *lower_ends], [*lower_ends, 1], strict=True)):
        grid[0, 0].bar(place, high - low, 0.9, low, color="0.92", zorder=0)
    _models(grid[0, 0], models, "accuracy")
    grid[0, 0].set_ylabel("share that came true")
    grid[0, 0].set_title("accuracy of all decisions")
    _shares(grid[1, 0], models)
    for column, name in enumerate(CLASSES, start=1):
        _models(grid[0, column], models, f"precision_{name.lower()}")
        _models(grid[1, column], models, f"recall_{name.lower()}")
        grid[0, column].set_title(f"precision of {name}")
        grid[1, column].set_title(f"recall of {name} (within the tier)")
    names = next(iter(models.values()))
    for axes in grid[1]:
        axes.set_xticks(range(len(names)), ["\n".join(name.rsplit(" ", 1)) for name in names])
        axes.set_xlabel("probability of the decided class")
    grid[0, 0].set_ylim(0, 1.03)
    _legend(figure, grid[0, 0])
    return figure


def risk_coverage(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw accuracy of the most confident share of rows, with bands; one panel per kind of row."""
    figure = blank(1 + 5.2 * len(panels), 4.4)
    row = in_a_row(figure, len(panels))
    for axes, (title, models) in zip(row, panels.items(), strict=True):
        for model, curve in models.items():
            if curve.area is not None:
                _curve(axes, model, curve, curve.area)
        rows = " / ".join(f"{curve.rows:,}" for curve in models.values())
        axes.set(title=title, xlabel=f"share kept, the most confident first (of {rows})")
        axes.set(xlim=(0, 1), ylim=(0, 1.03), ylabel="share that came true")
        if axes.lines:
            axes.legend(loc="lower left", frameon=False, fontsize=SMALL, title="mean of the curve")
        else:
            axes.text(0.5, 0.5, "no such rows", ha="center", color="0.4")
    return figure


def _curve(axes: Axes, model: str, curve: Curve, area: Interval) -> None:
    colour = MODEL_COLOURS.get(model, OTHER_COLOUR)
    values, lows, highs = zip(*(point[:3] for point in curve.values), strict=True)
    label = f"{model} {area.value:.3f}"
    label += f" [{area.low:.3f}, {area.high:.3f}]" if area.enough else f" ({area.lacks})"
    axes.plot(COVERAGES, values, color=colour, label=label)
    axes.fill_between(COVERAGES, lows, highs, color=colour, alpha=0.15, linewidth=0)


def _models(axes: Axes, models: Mapping[str, Slices], score: str) -> None:
    step = 0.3 / max(len(models) - 1, 1)
    for number, (model, cut) in enumerate(models.items()):
        colour = MODEL_COLOURS.get(model, OTHER_COLOUR)
        axes.plot([], [], "o-", color=colour, label=model)
        for place, part in enumerate(cut.values()):
            found = part.models[model][score] if part is not None else None
            if part is not None and found is not None:
                x = place + number * step - 0.15
                axes.vlines(x, found.low, found.high, color=colour, linewidth=1.6)
                face = colour if part.effective_rows >= FEW_ROWS else "white"
                axes.scatter(x, found.value, s=26, c=face, edgecolors=colour, zorder=3)


def _shares(axes: Axes, models: Mapping[str, Slices]) -> None:
    width = 0.8 / len(models)
    for number, (model, cut) in enumerate(models.items()):
        shares = [part.share if part is not None else 0.0 for part in cut.values()]
        places = [place + (number - (len(models) - 1) / 2) * width for place in range(len(shares))]
        axes.bar(places, shares, width, color=MODEL_COLOURS.get(model, OTHER_COLOUR), alpha=0.75)
    axes.set(title="share of all rows", ylabel="share")


def _overall_lines(axes: Axes, overall: Slices, score: str) -> None:
    for part in overall.values():
        for model, scores in part.models.items() if part is not None else ():
            found = scores[score]
            if found is not None:
                colour = MODEL_COLOURS.get(model, OTHER_COLOUR)
                axes.axhline(found.value, color=colour, linestyle=":", linewidth=1)


def _name_slices(axes: Axes, cut: Slices) -> None:
    names = [
        f"{name}\nabsent" if part is None else f"{name}\n{part.rows:,}\n({part.effective_rows:.0f})"
        for name, part in cut.items()
    ]
    axes.set_xticks(range(len(cut)), names, fontsize=SMALL)
    axes.set_xlim(-0.6, len(cut) - 0.4)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False)
