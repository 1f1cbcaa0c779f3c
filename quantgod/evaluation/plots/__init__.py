"""Draw figures: arrays in, a matplotlib `Figure` out, without global state."""

from quantgod.evaluation.plots.attribution import contributions, group_importance, importance
from quantgod.evaluation.plots.features import feature_spreads
from quantgod.evaluation.plots.labels import class_balance, label_distribution
from quantgod.evaluation.plots.learning import curves
from quantgod.evaluation.plots.scores import (
    advantages,
    comparison,
    confusion_matrices,
    confusion_matrix,
    reliability,
)
from quantgod.evaluation.plots.sets import conformal
from quantgod.evaluation.plots.shifts import forecast_shift, shifts
from quantgod.evaluation.plots.slices import risk_coverage, slices, tiers
from quantgod.evaluation.plots.style import MODEL_COLOURS
from quantgod.evaluation.plots.timeline import members, timeline

__all__ = [
    "MODEL_COLOURS",
    "advantages",
    "class_balance",
    "comparison",
    "conformal",
    "confusion_matrices",
    "confusion_matrix",
    "contributions",
    "curves",
    "feature_spreads",
    "forecast_shift",
    "group_importance",
    "importance",
    "label_distribution",
    "members",
    "reliability",
    "risk_coverage",
    "shifts",
    "slices",
    "tiers",
    "timeline",
]
