"""Draw the figures of a report of forecasts, each with a sentence on how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quantgod.evaluation.forecasts.evaluate import ForecastEvaluation
from quantgod.evaluation.forecasts.outcomes import FLOORS, RANDOM_WALK
from quantgod.evaluation.plots import forecasts as plots
from quantgod.report.figures import ReportFigure
from quantgod.report.forecasts.findings import ahead_of
from quantgod.report.forecasts.material import ForecastMaterial


def forecast_figures(material: ForecastMaterial) -> list[ReportFigure]:
    """Return all figures that there is material for, under document 002's names."""
    return [*_newest(material), *_scores(material), *_learned(material), *_training(material)]


def _newest(material: ForecastMaterial) -> Iterator[ReportFigure]:
    if material.fans:
        yield ReportFigure(
            "fan_chart", "Newest forecasts",
            "Past prices, and bands that hold 50, 80 and 95 % of what may come. Only their ends at "
            "each horizon were forecast; lines join them.",
            plots.fan_chart(material.fans),
        )  # fmt: skip


def _scores(material: ForecastMaterial) -> Iterator[ReportFigure]:
    evaluation = material.evaluation
    yield ReportFigure(
        "coverage", "Do intervals hold what they promise?",
        "A dot is the share of outcomes within an interval, the line its 95 % interval (none: "
        "too few dates), the black stroke the promise.",
        plots.coverage(evaluation),
    )  # fmt: skip
    yield ReportFigure(
        "pit", "Where outcomes fell",
        "Shares of outcomes between the quantiles, over the promised ones. High ends are forecasts "
        "too narrow, a hump one too wide, a slope a biased one.",
        plots.pit(evaluation),
    )  # fmt: skip
    yield ReportFigure(
        "model_comparison", "All forecasters",
        "How much less each loses than the random walk on the same rows, with 95 % intervals; the "
        "losses themselves, of scaled returns, stand at the right.",
        plots.model_comparison(evaluation),
    )  # fmt: skip
    yield ReportFigure(
        "skill_by_year", "Year by year",
        "Skill of the width over the random walk, and of the mean over no change. Hollow dots have "
        "too few dates to tell.",
        plots.skill_by_year(evaluation),
    )  # fmt: skip
    members = [name for name in evaluation.horizons[0].models if name not in FLOORS]
    yield ReportFigure(
        "predictions_vs_actual", "Expected and realised returns",
        "Of returns, not of prices. On the dashed line they are equal. R² of prices is below each "
        "panel, in brackets that of the price that stays.",
        plots.predictions_vs_actual(material.outcomes, members),
    )  # fmt: skip
    yield ReportFigure(
        "residual_analysis", "Residuals",
        "How far returns were from the mean. The line is a normal distribution as wide.",
        plots.residual_analysis(material.outcomes, evaluation.subject),
    )  # fmt: skip


def _learned(material: ForecastMaterial) -> Iterator[ReportFigure]:
    if material.weights and material.time is not None:
        yield ReportFigure(
            "ensemble_weights", "Weights of the experts",
            "Each moved by matured forecasts alone; the mean over coins, whose regimes may differ. "
            "Dotted: equal weights.",
            plots.ensemble_weights(material.time, material.weights),
        )  # fmt: skip
    if material.attention is not None and material.attention_time is not None:
        yield ReportFigure(
            "attention_heatmap", "Attention",
            "Which candles of its window the network looks at, by date and on average.",
            plots.attention_heatmap(material.attention_time, material.attention),
        )  # fmt: skip
    if material.importance:
        yield ReportFigure(
            "feature_importance", "Features that trees use",
            "The 30 features of most gain, by horizon.",
            plots.feature_importance(material.importance),
        )  # fmt: skip


def _training(material: ForecastMaterial) -> Iterator[ReportFigure]:
    courses = material.courses
    if not courses:
        return
    yield ReportFigure(
        "loss_curves", "Losses", "Of training and validation; the diamond is what was kept.",
        plots.loss_curves(courses),
    )  # fmt: skip
    if any(course.metrics for course in courses.values()):
        yield ReportFigure(
            "metrics_progression", "Errors by epoch", "On the validation part, by horizon.",
            plots.metrics_progression(courses),
        )  # fmt: skip
    if any(len(course.learning_rate) for course in courses.values()):
        yield ReportFigure(
            "learning_rates", "Learning rates", "As they were scheduled.",
            plots.learning_rates(courses),
        )  # fmt: skip
    yield ReportFigure(
        "training_summary", "Training at a glance",
        "Errors are of scaled returns, beside those of the random walk.",
        plots.training_summary(courses, rmse_by_model(material.evaluation)),
    )  # fmt: skip


def rmse_by_model(evaluation: ForecastEvaluation) -> Mapping[str, Mapping[str, float]]:
    """Return RMSE of scaled returns by forecaster and horizon; of floors, the random walk's."""
    names = evaluation.horizons[0].models
    return {
        name: {
            ahead_of(evaluation, one.steps): one.models[name].mse.value ** 0.5
            for one in evaluation.horizons
        }
        for name in names
        if name == RANDOM_WALK or name not in FLOORS
    }
