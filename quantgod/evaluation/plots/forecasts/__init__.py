"""Draw figures of forecasts of returns: how they were learned, how good they are, what comes."""

from quantgod.evaluation.plots.forecasts.learned import (
    attention_heatmap,
    ensemble_weights,
    feature_importance,
)
from quantgod.evaluation.plots.forecasts.returns import (
    model_comparison,
    predictions_vs_actual,
    residual_analysis,
    skill_by_year,
)
from quantgod.evaluation.plots.forecasts.training import (
    Course,
    learning_rates,
    loss_curves,
    metrics_progression,
    training_summary,
)
from quantgod.evaluation.plots.forecasts.widths import Fan, coverage, fan_chart, pit

__all__ = [
    "Course",
    "Fan",
    "attention_heatmap",
    "coverage",
    "ensemble_weights",
    "fan_chart",
    "feature_importance",
    "learning_rates",
    "loss_curves",
    "metrics_progression",
    "model_comparison",
    "pit",
    "predictions_vs_actual",
    "residual_analysis",
    "skill_by_year",
    "training_summary",
]
