"""Draw how good forecasts of returns are, beside what happened and beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from quantgod.contracts import Floats, Integers
from quantgod.evaluation.forecasts.evaluate import (
    ZERO,
    ForecastEvaluation,
    ForecastScores,
    HorizonEvaluation,
)
from quantgod.evaluation.forecasts.outcomes import FLOORS, RANDOM_WALK, Outcomes
from quantgod.evaluation.forecasts.prices import price_scores
from quantgod.evaluation.intervals import Interval
from quantgod.evaluation.plots.style import (
    MODEL_COLOURS,
    OTHER_COLOUR,
    SERIES_COLOURS,
    blank,
)
from quantgod.evaluation.wording import ahead_text

_SUBJECT_COLOUR: Final = MODEL_COLOURS["auditor"]
_DOTS: Final = 1_500
_FAR: Final = 0.998
"""Returns beyond this quantile of their size are drawn at the rim."""
_PANELS: Final[
    dict[str, tuple[Callable[[ForecastScores], float], Callable[[ForecastScores], Interval]]]
] = {
    "RMSE of the mean": (
        lambda scores: scores.mse.value**0.5,
        lambda scores: _of_roots(scores.mse_skill[ZERO]),
    ),
    "MAE of the median": (
        lambda scores: scores.mae.value,
        lambda scores: scores.mae_skill[ZERO],
    ),
    "pinball loss": (
        lambda scores: scores.pinball.value,
        lambda scores: scores.pinball_skill[RANDOM_WALK],
    ),
}
"""Losses by title, with how much less they are than the random walk's."""


def model_comparison(evaluation: ForecastEvaluation) -> Figure:
    """Draw how much less all forecasters lose than the random walk: a row per horizon.

    RMSE, MAE and pinball loss are of scaled returns, and stand at the right. Differences are paired
    by date; hollow dots, without an interval, have too few dates to tell.
    """
    rows = evaluation.horizons
    figure = blank(11.5, 0.9 + len(rows) * (0.7 + 0.25 * len(rows[0].models)))
    panels: Any = figure.subplots(len(rows), len(_PANELS), squeeze=False, sharey=True)
    for place, one in enumerate(rows):
        for axes, (title, (loss, skill)) in zip(panels[place], _PANELS.items(), strict=True):
            _dots(axes, one, loss, skill, evaluation.subject)
            if place == 0:
                axes.set_title(title)
        panels[place, 0].set_ylabel(f"{ahead_text(one.steps * evaluation.step_ms)} ahead")
    names = [name.replace("_", " ") for name in rows[0].models]
    panels[0, 0].set_yticks(range(len(names)), names)
    panels[0, 0].set_ylim(len(names) - 0.5, -0.5)
    for axes in panels[-1]:
        axes.set_xlabel("less than the random walk's, %")
    return figure


def predictions_vs_actual(outcomes: Sequence[Outcomes], names: Sequence[str]) -> Figure:
    """Draw returns as they came over returns as they were expected: a row per forecaster.

    R² is of returns. R² of prices stands beside that of the price that stays, coin by coin. The
    few returns that are far out are drawn at the rim, and counted.
    """
    figure = blank(4.2 * len(outcomes), 0.4 + 3.9 * len(names))
    panels: Any = figure.subplots(len(names), len(outcomes), squeeze=False)
    for row, name in enumerate(names):
        for axes, one in zip(panels[row], outcomes, strict=True):
            said = one.forecasts[name].mean
            shown = _shown(len(one))
            came, far = _clipped(one.y)
            axes.plot(said[shown], came[shown], ".", color=SERIES_COLOURS[0], alpha=0.3)
            low, high = _set_symmetric(axes, said[shown])
            axes.plot([low, high], [low, high], color="black", linewidth=0.8, linestyle="dashed")
            axes.axhline(0, color="0.5", linewidth=0.8)
            ahead = ahead_text(one.steps * one.step_ms)
            axes.set_title(f"{name.replace('_', ' ')}, {ahead}: R² {_r2(one.y, said):.4f}{far}")
            axes.set_xlabel(f"expected scaled return\n{_prices(one, name)}", fontsize="small")
        panels[row, 0].set_ylabel("scaled return that came")
    return figure


def residual_analysis(outcomes: Sequence[Outcomes], name: str) -> Figure:
    """Draw how residuals of the mean are distributed, and over what was expected.

    The line is the normal distribution of their mean and deviation. The few that are far out are
    drawn at the rim, and counted.
    """
    figure = blank(4.2 * len(outcomes), 6.4)
    panels: Any = figure.subplots(2, len(outcomes), squeeze=False)
    for (upper, lower), one in zip(panels.T, outcomes, strict=True):
        said = one.forecasts[name].mean
        apart, far = _clipped(one.y - said)
        bins = np.linspace(apart.min(), apart.max(), 60)
        upper.hist(apart, bins.tolist(), density=True, color=SERIES_COLOURS[0], alpha=0.75)
        upper.plot(bins, _normal(bins, one.y - said), color="black", linewidth=1)
        upper.set(title=f"{ahead_text(one.steps * one.step_ms)}{far}", xlabel="residual")
        shown = _shown(len(one))
        lower.plot(said[shown], apart[shown], ".", color=SERIES_COLOURS[0], alpha=0.3)
        _set_symmetric(lower, said[shown])
        lower.axhline(0, color="0.5", linewidth=0.8)
        lower.set_xlabel("expected scaled return")
    panels[0, 0].set_ylabel("density")
    panels[1, 0].set_ylabel("residual")
    return figure


def skill_by_year(evaluation: ForecastEvaluation) -> Figure:
    """Draw the subject's skill in each year: of its width and of its mean, a column per horizon."""
    figure = blank(4.2 * len(evaluation.horizons), 5.4)
    panels: Any = figure.subplots(2, len(evaluation.horizons), squeeze=False, sharex="col")
    for (upper, lower), one in zip(panels.T, evaluation.horizons, strict=True):
        years = one.years
        _course(upper, {year: scores.pinball_skill[RANDOM_WALK] for year, scores in years.items()})
        _course(lower, {year: scores.mse_skill[ZERO] for year, scores in years.items()})
        upper.set_title(f"{ahead_text(one.steps * evaluation.step_ms)} ahead")
        lower.set_xticks(list(years), [f"{year % 100:02d}" for year in years])
        lower.set_xlabel("year, with too few dates: hollow")
    panels[0, 0].set_ylabel("skill of the width, %")
    panels[1, 0].set_ylabel("skill of the mean, %")
    return figure


def _course(axes: Axes, by_year: dict[int, Interval]) -> None:
    for year, found in by_year.items():
        if found.enough:
            axes.vlines(year, 100 * found.low, 100 * found.high, color=_SUBJECT_COLOUR)
        face = _SUBJECT_COLOUR if found.enough else "white"
        axes.plot(year, 100 * found.value, "o", color=_SUBJECT_COLOUR, markerfacecolor=face)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.margins(x=0.1, y=0.1)


def _dots(
    axes: Axes,
    one: HorizonEvaluation,
    loss: Callable[[ForecastScores], float],
    skill: Callable[[ForecastScores], Interval],
    subject: str,
) -> None:
    for place, (name, scores) in enumerate(one.models.items()):
        colour = OTHER_COLOUR if name in FLOORS else SERIES_COLOURS[0]
        colour = _SUBJECT_COLOUR if name == subject else colour
        _dot(axes, skill(scores), place, colour)
        axes.annotate(
            f"{loss(scores):.4f}", (1, place), xycoords=axes.get_yaxis_transform(), va="center",
            xytext=(-4, 0), textcoords="offset points", ha="right", fontsize="small", color=colour,
        )  # fmt: skip
    axes.axvline(0, color="0.5", linewidth=0.8, linestyle="dashed")
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.35 * (high - low))
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _dot(axes: Axes, found: Interval, place: int, colour: str) -> None:
    if found.enough:
        axes.hlines(place, 100 * found.low, 100 * found.high, color=colour, linewidth=2)
    face = colour if found.enough else "white"
    axes.plot(100 * found.value, place, "o", color=colour, markerfacecolor=face)


def _set_symmetric(axes: Axes, said: Floats) -> tuple[float, float]:
    """Put zero in the middle, so that the sign of what was said is seen, and return the limits."""
    reach = 1.1 * float(np.abs(said).max()) or 1.0
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    return -reach, reach


def _of_roots(skill: Interval) -> Interval:
    """Return the skill of the roots of squared losses."""
    value, low, high = (1 - max(1 - end, 0.0) ** 0.5 for end in skill[:3])
    return skill._replace(value=value, low=low, high=high)


def _clipped(values: Floats) -> tuple[Floats, str]:
    """Return values with the farthest moved to the rim, and how many were; empty if none was."""
    rim = 1.2 * float(np.quantile(np.abs(values), _FAR))
    far = int((np.abs(values) > rim).sum())
    return np.clip(values, -rim, rim), f", {far} farther" * (far > 0)


def _r2(y: Floats, said: Floats) -> float:
    share = np.square(y - said).sum() / np.square(y - y.mean()).sum()
    return round(float(1 - share), 4) + 0.0  # no minus before a zero


def _prices(outcomes: Outcomes, name: str) -> str:
    told = []
    for coin, rows in outcomes.by_coin():
        found = price_scores(rows, name)
        told.append(f"{coin} {found.forecast.r2:.3f} ({found.naive.r2:.3f})")
    lines = [", ".join(told[start : start + 2]) for start in range(0, len(told), 2)]
    return "R² of prices (of the price that stays):\n" + "\n".join(lines)


def _normal(x: Floats, values: Floats) -> Floats:
    wide = values.std()
    return np.asarray(
        np.exp(-(((x - values.mean()) / wide) ** 2) / 2) / (wide * np.sqrt(2 * np.pi))
    )


def _shown(rows: int) -> Integers:
    """Return evenly spaced rows, so that a figure stays small."""
    return np.unique(np.linspace(0, rows - 1, min(rows, _DOTS)).astype(np.int64))
