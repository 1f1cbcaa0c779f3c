"""Draw scores: confusion matrices, reliability, and models side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import NullFormatter

from quantgod.contracts import CLASSES, Booleans, Floats, Integers
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.metrics import LOWER_IS_BETTER
from quantgod.evaluation.plots.style import (
    FEW_ROWS,
    MODEL_COLOURS,
    OTHER_COLOUR,
    PALE_TO_BLUE,
    SCORE_NAMES,
    SERIES_COLOURS,
    blank,
    in_a_row,
)


def confusion_matrix(matrix: Integers, title: str = "Confusion matrix") -> Figure:
    """Draw counts and shares by true class (rows, each 100 %) and predicted class (columns)."""
    return confusion_matrices({title: matrix})


def confusion_matrices(matrices: Mapping[str, Integers]) -> Figure:
    """Draw several confusion matrices side by side, by title."""
    figure = blank(1.2 + 3.9 * len(matrices), 4.8)
    row = in_a_row(figure, len(matrices), sharey=True)
    first, *_ = row
    for axes, (title, matrix) in zip(row, matrices.items(), strict=True):
        image = _cells(axes, matrix)
        axes.set(title=title, xlabel="decided class")
    first.set_ylabel("class that came")
    figure.colorbar(image, ax=row, label="share of the row")
    return figure


def reliability(
    target: Integers, probabilities: Mapping[str, Floats] | Floats, bins: int = 10
) -> Figure:
    """Draw the share that came true over the forecast probability, one panel per class.

    Hollow points have fewer than 20 rows.

    Args:
        target: (n,) class numbers.
        probabilities: (n, 3), or several by model's name.
        bins: bins of equal width.
    """
    models = probabilities if isinstance(probabilities, Mapping) else {"model": probabilities}
    figure = blank(11, 5)
    panels: Any = figure.subplots(
        2, len(CLASSES), sharex=True, sharey="row", gridspec_kw={"height_ratios": [3, 1]}
    )
    for number, name in enumerate(CLASSES):
        upper, lower = panels[0, number], panels[1, number]
        upper.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
        for colour, (model, given) in zip(SERIES_COLOURS, models.items(), strict=False):
            _reliability_curve(
                upper,
                lower,
                given[:, number],
                target == number,
                bins,
                MODEL_COLOURS.get(model, colour),
                model,
            )
        upper.set(title=name, xlim=(0, 1), ylim=(-0.03, 1.03))
        lower.set(xlabel=f"probability given to {name}", yscale="log")
        lower.yaxis.set_minor_formatter(NullFormatter())
    panels[0, 0].set_ylabel("share that came true")
    panels[1, 0].set_ylabel("rows a bin")
    panels[0, 0].legend(loc="upper left", frameon=False)
    return figure


def comparison(
    models: Mapping[str, Mapping[str, Interval]],
    scores: Sequence[str] = ("macro_f1", "mcc", "log_loss", "brier", "ece"),
    colours: Mapping[str, str] = MODEL_COLOURS,
    notes: Sequence[str] = (),
) -> Figure:
    """Draw scores of all models with intervals: one panel per score, one bar per model.

    Models without a colour of their own are grey, as what others are compared with. Notes stand
    below.
    """
    figure = blank(1.6 + 2.2 * len(scores), 1.8 + 0.4 * len(models))
    first, *others = in_a_row(figure, len(scores), sharey=True)
    for axes, score in zip([first, *others], scores, strict=True):
        for place, (name, found) in enumerate(models.items()):
            _bar_with_interval(axes, place, colours.get(name, OTHER_COLOUR), name, found[score])
        better = "lower is better" if score in LOWER_IS_BETTER else "higher is better"
        axes.set_title(SCORE_NAMES.get(score, score), fontweight="bold", pad=22)
        axes.text(0.5, 1.02, better, transform=axes.transAxes, ha="center", color="0.4")
        axes.margins(x=0.35)
        axes.axvline(0, color="0.5", linewidth=0.8)
    first.set_yticks(range(len(models)), [name.replace("_", " ") for name in models])
    first.invert_yaxis()
    below = ["lines: 95 % intervals; none where rows are too few", *notes]
    figure.supxlabel("\n".join(below), fontsize="small", color="0.4")
    return figure


def advantages(
    differences: Mapping[str, Mapping[str, Interval]],
    verdict: Callable[[str, Interval], str],
    scores: Sequence[str] = ("macro_f1", "log_loss"),
    whose: str = "auditor",
) -> Figure:
    """Draw a model's scores minus those of others: one panel per score, one line per interval.

    Args:
        differences: by the other model and score; below zero is good where lower is better.
        verdict: returns `better`, `worse` or another word for a score and its difference.
        scores: the panels.
        whose: the model whose scores they are.
    """
    figure = blank(1.8 + 4.2 * len(scores), 1.5 + 0.42 * len(differences))
    first, *others = in_a_row(figure, len(scores), sharey=True)
    for axes, score in zip([first, *others], scores, strict=True):
        for place, found in enumerate(differences.values()):
            said = verdict(score, found[score])
            colour = _VERDICT_COLOURS.get(said, "0.45")
            axes.hlines(place, *_ends(found[score]), color=colour, linewidth=2.5)
            axes.plot(found[score].value, place, "o", color=colour)
            axes.annotate(
                said, (0.5, place), xytext=(0, 6), textcoords="offset points",
                xycoords=axes.get_yaxis_transform(), ha="center", fontsize="small", color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )  # fmt: skip
        axes.axvline(0, color="black", linewidth=0.8)
        side = "left" if score in LOWER_IS_BETTER else "right"
        name = SCORE_NAMES.get(score, score)
        axes.set_xlabel(f"{name}, the {whose}'s minus the other's (better: {side} of 0)")
        axes.margins(x=0.15, y=0.2)
    first.set_yticks(range(len(differences)), [name.replace("_", " ") for name in differences])
    first.invert_yaxis()
    return figure


_VERDICT_COLOURS: Final = {"better": "#0072b2", "worse": "#d55e00"}


def _cells(axes: Axes, matrix: Integers) -> AxesImage:
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap=PALE_TO_BLUE, vmin=0, vmax=1)
    for row, column in np.ndindex(*matrix.shape):
        share = shares[row, column]
        axes.text(
            column, row, f"{share:.1%}\n{matrix[row, column]:,}", ha="center", va="center",
            color="white" if share > 0.6 else "black",
        )  # fmt: skip
    places = range(len(CLASSES))
    axes.set_xticks(places, CLASSES)
    axes.set_yticks(places, CLASSES, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def _reliability_curve(
    upper: Axes, lower: Axes, given: Floats, came: Booleans, bins: int,
    colour: str, name: str,
) -> None:  # fmt: skip
    bin_of = np.searchsorted(np.arange(1, bins) / bins, given)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    mean = np.bincount(bin_of, weights=given, minlength=bins)[filled] / count[filled]
    share = np.bincount(bin_of, weights=came, minlength=bins)[filled] / count[filled]
    upper.plot(mean, share, color=colour, label=name)
    faces = [colour if rows >= FEW_ROWS else "white" for rows in count[filled]]
    upper.scatter(mean, share, s=22, c=faces, edgecolors=colour, zorder=3)
    lower.stairs(count, np.arange(bins + 1) / bins, color=colour, fill=True, alpha=0.35)


def _ends(found: Interval) -> tuple[float, float]:
    """Return the ends of the line; equal if there are too few rows for an interval."""
    return (found.low, found.high) if found.enough else (found.value, found.value)


def _bar_with_interval(axes: Axes, place: int, colour: str, name: str, found: Interval) -> None:
    axes.barh(place, found.value, color=colour, alpha=0.75, label=name)
    low, high = _ends(found)
    axes.hlines(place, low, high, color="black", linewidth=1.5)
    below = found.value < 0
    end = min(low, found.value) if below else max(high, found.value)
    axes.annotate(
        f"{found.value:.3f}", (end, place), xytext=(-4 if below else 4, 0),
        textcoords="offset points", va="center", ha="right" if below else "left",
    )  # fmt: skip
