"""Figures: arrays in, a matplotlib `Figure` out. Nothing is shown, no global state is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quantgod.contracts import CLASSES
from quantgod.dataset.labels import NO_TARGET
from quantgod.evaluation.bootstrap import Interval
from quantgod.settings import LabelSettings

# Okabe and Ito's colours: told apart also by those who see few.
CLASS_COLOURS: Final = ("#d55e00", "#8c8c8c", "#0072b2")
SERIES_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_PALE_TO_BLUE: Final = LinearSegmentedColormap.from_list("pale_to_blue", ["#f4f7fa", "#0072b2"])
_BLUE_TO_RED: Final = LinearSegmentedColormap.from_list("blue_to_red", ["#0072b2", "#d55e00"])

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


def confusion_matrix(matrix: Integers, title: str = "Confusion matrix") -> Figure:
    """Counts and shares of what was (rows, each summing to 100 %) by what was said (columns)."""
    figure = _figure(5.2, 4.4)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap=_PALE_TO_BLUE, vmin=0, vmax=1)
    for row, column in np.ndindex(*matrix.shape):
        share = shares[row, column]
        axes.text(
            column, row, f"{share:.1%}\n{matrix[row, column]:,}", ha="center", va="center",
            color="white" if share > 0.6 else "black",
        )  # fmt: skip
    places = range(len(CLASSES))
    axes.set_xticks(places, CLASSES)
    axes.set_yticks(places, CLASSES, rotation=90, va="center")
    axes.set(title=title, xlabel="decided class", ylabel="class that came")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="share of the row", shrink=0.8)
    return figure


def reliability(
    target: Integers, probabilities: Mapping[str, Floats] | Floats, bins: int = 10
) -> Figure:
    """Of the rows given a probability, how many came true: a panel a class, with counts below.

    Hollow points stand on fewer than 20 rows.

    Args:
        target: (n,) class numbers.
        probabilities: (n, 3), or several by model's name.
        bins: bins of equal width.
    """
    models = probabilities if isinstance(probabilities, Mapping) else {"model": probabilities}
    figure = _figure(11, 5)
    panels: Any = figure.subplots(
        2, len(CLASSES), sharex=True, sharey="row", gridspec_kw={"height_ratios": [3, 1]}
    )
    for number, name in enumerate(CLASSES):
        upper, lower = panels[0, number], panels[1, number]
        upper.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect")
        for colour, (model, given) in zip(SERIES_COLOURS, models.items(), strict=False):
            _reliability_curve(
                upper, lower, given[:, number], target == number, bins, colour, model
            )
        upper.set(title=name, xlim=(0, 1), ylim=(-0.03, 1.03))
        lower.set(xlabel=f"probability given to {name}", yscale="log")
    panels[0, 0].set_ylabel("share that came true")
    panels[1, 0].set_ylabel("rows a bin")
    panels[0, 0].legend(loc="upper left", frameon=False)
    return figure


def curves(
    x: Sequence[float], panels: Mapping[str, Mapping[str, Sequence[float]]], xlabel: str = "epoch"
) -> Figure:
    """Learning curves and the like: a panel for each y-label, holding named series over `x`."""
    figure = _figure(4.6 * len(panels), 3.6)
    row: Any = figure.subplots(1, len(panels), squeeze=False)
    for axes, (ylabel, series) in zip(row[0], panels.items(), strict=True):
        for colour, (name, values) in zip(SERIES_COLOURS, series.items(), strict=False):
            axes.plot(x[: len(values)], values, color=colour, label=name, marker=".")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        if len(series) > 1:
            axes.legend(frameon=False)
    return figure


def label_distribution(table: pd.DataFrame, settings: LabelSettings) -> Figure:
    """The returns that a labelled table was cut by, with the cuts, beside the class shares."""
    figure = _figure(10, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    known = table[table["target"] != NO_TARGET]
    target, forward = known["target"].to_numpy(), known["forward_return"].to_numpy()
    edges = _return_edges(forward, settings)
    for number, name in enumerate(CLASSES):
        chosen = np.clip(forward[target == number], edges[0], edges[-1])
        left.hist(chosen * 100, (edges * 100).tolist(), color=CLASS_COLOURS[number], label=name)
    for cut in (settings.sell_below, settings.buy_above):
        left.axvline(cut * 100, color="black", linewidth=0.8, linestyle=":")
    left.set(
        xlabel=f"log return of the next {settings.horizon_minutes} minutes, % (tails in end bins)",
        ylabel="minutes",
    )
    left.legend(frameon=False)
    _class_bars(right, target)
    right.set_ylabel("share of labelled minutes, %")
    return figure


def class_balance(targets: Mapping[str, Integers]) -> Figure:
    """The share of each class in each part (train, validation, test); (n,) classes a part."""
    figure = _figure(1.5 + 2.6 * len(targets), 3.6)
    row: Any = figure.subplots(1, len(targets), squeeze=False, sharey=True)
    for axes, (name, target) in zip(row[0], targets.items(), strict=True):
        _class_bars(axes, target)
        axes.set_title(f"{name} ({len(target):,})")
    row[0, 0].set_ylabel("share of samples, %")
    return figure


def comparison(
    models: Mapping[str, Mapping[str, Interval]],
    scores: Sequence[str] = ("macro_f1", "mcc", "log_loss", "brier", "ece"),
) -> Figure:
    """Base beside auditor (and baselines): a panel a score, a bar a model, with its interval."""
    figure = _figure(1.6 + 2.2 * len(scores), 1.8 + 0.4 * len(models))
    row: Any = figure.subplots(1, len(scores), squeeze=False, sharey=True)
    for axes, score in zip(row[0], scores, strict=True):
        for place, (name, found) in enumerate(models.items()):
            _bar_with_interval(axes, place, name, found[score])
        better = "lower is better" if score in _LOWER_IS_BETTER else "higher is better"
        axes.set_title(f"{_SCORE_NAMES.get(score, score)}\n", fontweight="bold")
        axes.text(0.5, 1.02, better, transform=axes.transAxes, ha="center", color="0.4")
        axes.margins(x=0.35)
        axes.axvline(0, color="0.5", linewidth=0.8)
    row[0, 0].set_yticks(range(len(models)), [name.replace("_", " ") for name in models])
    row[0, 0].invert_yaxis()
    figure.supxlabel("lines: 95 % block-bootstrap intervals", fontsize="small", color="0.4")
    return figure


def importance(
    values: Mapping[str, float], xlabel: str = "importance", title: str = "", top: int = 20
) -> Figure:
    """Horizontal bars of the `top` largest values, the largest on top."""
    chosen = sorted(values.items(), key=lambda item: item[1])[-top:]
    figure = _figure(7, 1.2 + 0.28 * len(chosen))
    axes = figure.subplots()
    bars = axes.barh([name for name, _ in chosen], [value for _, value in chosen], color="#0072b2")
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set(xlabel=xlabel, title=title)
    axes.margins(x=0.12)
    return figure


def contributions(
    values: Floats, features: Floats, names: Sequence[str], rows: int = 1000
) -> Figure:
    """What each feature added to each class's score: a panel a class, a dot a row.

    Args:
        values: (n, 3, features + 1), XGBoost's `pred_contribs`; the last column, the bias, is left
            out.
        features: (n, features), which colour the dots by their rank.
        names: of the features.
        rows: at most so many, evenly spaced, are drawn.
    """
    chosen = np.unique(np.linspace(0, len(values) - 1, min(rows, len(values))).astype(int))
    values, features = values[chosen, :, :-1], features[chosen]
    order = np.argsort(np.abs(values).mean(axis=(0, 1)))
    figure = _figure(12, 1.6 + 0.33 * len(names))
    panels: Any = figure.subplots(1, len(CLASSES), sharey=True)
    for number, axes in enumerate(panels):
        for place, feature in enumerate(order):
            dots = _beeswarm(axes, place, values[:, number, feature], features[:, feature])
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.set(title=CLASSES[number], xlabel="contribution to the score (log-odds)")
    panels[0].set_yticks(range(len(names)), [names[feature] for feature in order])
    bar = figure.colorbar(dots, ax=panels, label="value of the feature", aspect=40, pad=0.01)
    bar.set_ticks([0, 1], labels=["low", "high"])
    return figure


def search_history(scores: Sequence[float | None], ylabel: str = "macro-F1") -> Figure:
    """The score of each trial in order and the best so far; None marks one that did not finish."""
    values = np.array([np.nan if score is None else score for score in scores], np.float64)
    done = np.isfinite(values)
    best = np.fmax.accumulate(values)
    figure = _figure(7, 3.8)
    axes = figure.subplots()
    trials = np.arange(len(values))
    axes.scatter(trials[done], values[done], color="#0072b2", label="finished", zorder=3)
    axes.step(trials, best, where="post", color="#d55e00", label="best so far")
    if not done.all():
        floor = np.full((~done).sum(), np.nanmin(values) if done.any() else 0.0)
        axes.scatter(trials[~done], floor, color="0.5", marker="x", label="pruned or failed")
    axes.set(xlabel="trial", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False)
    return figure


_SCORE_NAMES: Final = {
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "log_loss": "log-loss (nats)",
    "brier": "Brier score",
    "ece": "calibration error",
    "accuracy": "accuracy",
}
_FEW_ROWS: Final = 20
_LOWER_IS_BETTER: Final = ("log_loss", "brier", "ece")


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=110, layout="constrained")


def _reliability_curve(
    upper: Axes, lower: Axes, given: Floats, came: npt.NDArray[np.bool_], bins: int,
    colour: str, name: str,
) -> None:  # fmt: skip
    bin_of = np.searchsorted(np.arange(1, bins) / bins, given)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    mean = np.bincount(bin_of, weights=given, minlength=bins)[filled] / count[filled]
    share = np.bincount(bin_of, weights=came, minlength=bins)[filled] / count[filled]
    upper.plot(mean, share, color=colour, label=name)
    faces = [colour if rows >= _FEW_ROWS else "white" for rows in count[filled]]
    upper.scatter(mean, share, s=22, c=faces, edgecolors=colour, zorder=3)
    lower.stairs(count, np.arange(bins + 1) / bins, color=colour, fill=True, alpha=0.35)


def _return_edges(forward_return: Floats, settings: LabelSettings) -> npt.NDArray[Any]:
    """Bins of equal width with the two cuts on edges, reaching over 99 % of the returns."""
    width = (settings.buy_above - settings.sell_below) / 24
    reach = np.quantile(np.abs(forward_return), 0.995) if len(forward_return) else 0.0
    below = max(8, int(np.ceil((reach + settings.sell_below) / width)))
    above = max(8, int(np.ceil((reach - settings.buy_above) / width)))
    steps = np.arange(-below, 25 + above)
    return np.asarray(settings.sell_below + width * steps)


def _class_bars(axes: Axes, target: Integers) -> None:
    counts = np.bincount(target, minlength=len(CLASSES))
    bars = axes.bar(CLASSES, counts / max(counts.sum(), 1) * 100, color=CLASS_COLOURS)
    axes.bar_label(bars, [f"{count / max(counts.sum(), 1):.1%}\n{count:,}" for count in counts])
    axes.margins(y=0.2)


def _bar_with_interval(axes: Axes, place: int, name: str, found: Interval) -> None:
    colour = SERIES_COLOURS[place % len(SERIES_COLOURS)]
    axes.barh(place, found.value, color=colour, alpha=0.75, label=name)
    axes.hlines(place, found.low, found.high, color="black", linewidth=1.5)
    below = found.value < 0
    end = min(found.low, found.value) if below else max(found.high, found.value)
    axes.annotate(
        f"{found.value:.3f}", (end, place), xytext=(-4 if below else 4, 0),
        textcoords="offset points", va="center", ha="right" if below else "left",
    )  # fmt: skip


def _beeswarm(axes: Axes, place: int, values: Floats, feature: Floats) -> Any:
    """Dots along one line, spread where they crowd; returned for the colour bar."""
    rank = np.argsort(np.argsort(feature, kind="stable")) / max(len(feature) - 1, 1)
    counts, edges = np.histogram(values, bins=60)
    bin_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(counts) - 1)
    crowd = counts[bin_of] / max(counts.max(), 1)
    # The golden ratio fills the width evenly with no random numbers.
    offset = (np.arange(len(values)) * 0.6180339887 % 1 - 0.5) * 0.8 * crowd
    return axes.scatter(
        values, place + offset, c=rank, cmap=_BLUE_TO_RED, s=5, linewidths=0, vmin=0, vmax=1
    )
