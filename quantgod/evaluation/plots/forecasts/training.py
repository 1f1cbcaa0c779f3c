"""Draw how members were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quantgod.evaluation.plots.style import SERIES_COLOURS, blank, in_a_row
from quantgod.evaluation.wording import number_text


@dataclass(frozen=True, eq=False)
class Course:
    """The course of one training, epoch by epoch or tree by tree.

    Attributes:
        train_loss: of each epoch.
        validation_loss: of each epoch.
        seconds: that it took.
        best: position of the epoch that was kept.
        metrics: further series, by chart (`MAE`) and by line (`1 day`), on the validation part.
        learning_rate: of each epoch; empty where there is none.
        unit: what is counted.
    """

    train_loss: Sequence[float]
    validation_loss: Sequence[float]
    seconds: float
    best: int
    metrics: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    learning_rate: Sequence[float] = ()
    unit: str = "epoch"


def loss_curves(courses: Mapping[str, Course]) -> Figure:
    """Draw the losses of both parts, one panel per member, and which epoch was kept."""
    figure = blank(4.6 * len(courses), 3.8)
    panels = in_a_row(figure, len(courses))
    for axes, (name, course) in zip(panels, courses.items(), strict=True):
        for colour, part, values in zip(
            SERIES_COLOURS, ("train", "validation"),
            (course.train_loss, course.validation_loss), strict=False,
        ):  # fmt: skip
            axes.plot(_counted(values), values, color=colour, label=part)
        _mark(axes, course)
        axes.set(title=name.replace("_", " "), xlabel=course.unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panels[0].set_ylabel("loss")
    panels[0].legend(frameon=False)
    return figure


def metrics_progression(courses: Mapping[str, Course]) -> Figure:
    """Draw each member's metrics on the validation part: a row per metric, a line per horizon."""
    charts = list(dict.fromkeys(chart for course in courses.values() for chart in course.metrics))
    figure = blank(4.2 * len(courses), 0.8 + 2.7 * len(charts))
    panels: Any = figure.subplots(len(charts), len(courses), squeeze=False, sharex="col")
    for column, (name, course) in enumerate(courses.items()):
        for row, chart in enumerate(charts):
            axes, series = panels[row, column], course.metrics.get(chart, {})
            for colour, (line, values) in zip(SERIES_COLOURS, series.items(), strict=False):
                axes.plot(_counted(values), values, color=colour, label=line)
            axes.set_ylabel(chart)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panels[0, column].set_title(name.replace("_", " "))
        panels[-1, column].set_xlabel(course.unit)
    panels[0, 0].legend(frameon=False)
    return figure


def learning_rates(courses: Mapping[str, Course]) -> Figure:
    """Draw the learning rate of each member over its epochs."""
    figure = blank(7, 3.6)
    axes = figure.subplots()
    for colour, (name, course) in zip(SERIES_COLOURS, courses.items(), strict=False):
        rate = course.learning_rate
        if len(rate):
            label = f"{name.replace('_', ' ')} ({course.unit})"
            axes.plot(_counted(rate), rate, color=colour, label=label)
    axes.set(yscale="log", xlabel="epoch, or tree", ylabel="learning rate")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def training_summary(
    courses: Mapping[str, Course], rmse: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Draw four panels: times, epochs, convergence, and errors of the returns.

    Args:
        courses: by member.
        rmse: of scaled returns on the test part, by model and horizon; the random walk among them
            tells what no knowledge scores.
    """
    figure = blank(11, 7.4)
    (times, epochs), (convergence, errors) = figure.subplots(2, 2)
    names = [name.replace("_", " ") for name in courses]
    _bars(times, names, [course.seconds for course in courses.values()])
    times.set(title="Training time", xlabel="seconds")
    _bars(epochs, names, [len(course.train_loss) for course in courses.values()])
    kept = [course.best + 1 for course in courses.values()]
    epochs.plot(kept, range(len(names)), "D", color="black", markersize=5)
    epochs.set(title="Epochs, or trees", xlabel="number; diamond: the one kept")
    for colour, (name, course) in zip(SERIES_COLOURS, courses.items(), strict=False):
        loss = np.asarray(course.validation_loss)
        share = np.arange(1, len(loss) + 1) / len(loss)
        convergence.plot(share, loss / loss[0], color=colour, label=name.replace("_", " "))
    convergence.set(
        title="Convergence", xlabel="share of the training",
        ylabel="validation loss, of the first",
    )  # fmt: skip
    convergence.legend(frameon=False)
    _errors(errors, rmse)
    return figure


def _errors(axes: Axes, rmse: Mapping[str, Mapping[str, float]]) -> None:
    horizons = list(next(iter(rmse.values())))
    for place, (name, by_horizon) in enumerate(rmse.items()):
        colour = SERIES_COLOURS[place % len(SERIES_COLOURS)]
        marker = "osD^vP*X"[place % 8]
        label = name.replace("_", " ")
        axes.plot(
            [by_horizon[one] for one in horizons], range(len(horizons)), marker, color=colour,
            label=label, alpha=0.8,
        )  # fmt: skip
    axes.set_yticks(range(len(horizons)), horizons)
    axes.set(title="Error on the test part", xlabel="RMSE of the scaled return")
    axes.margins(y=0.3, x=0.1)
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _counted(values: Sequence[float]) -> Any:
    return np.arange(1, len(values) + 1)


def _mark(axes: Axes, course: Course) -> None:
    kept = course.validation_loss[course.best]
    axes.plot(course.best + 1, kept, "D", color="black", markersize=5, label="kept")


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float]) -> None:
    bars = axes.barh(range(len(names)), values, color=SERIES_COLOURS[0], alpha=0.75)
    axes.bar_label(bars, [number_text(value) for value in values], padding=6)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.25)
