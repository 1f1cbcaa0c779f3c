"""Figures: arrays in, a matplotlib `Figure` out. Nothing is shown, no global state is touched."""

from quantgod.evaluation.plots.attribution import contributions, importance
from quantgod.evaluation.plots.labels import class_balance, label_distribution
from quantgod.evaluation.plots.learning import curves, search_history
from quantgod.evaluation.plots.scores import comparison, confusion_matrix, reliability

__all__ = [
    "class_balance",
    "comparison",
    "confusion_matrix",
    "contributions",
    "curves",
    "importance",
    "label_distribution",
    "reliability",
    "search_history",
]
