"""What a network is trained for, one file per kind of target."""

from __future__ import annotations

from quantgod.settings import TrainSettings
from quantgod.training.objectives.base import Judgement, Objective
from quantgod.training.objectives.cross_entropy import WeightedCrossEntropy
from quantgod.training.objectives.direction import Direction
from quantgod.training.objectives.multi_task import MultiTask
from quantgod.training.objectives.scaled_returns import ScaledReturns
from quantgod.training.objectives.trend import Trend

__all__ = [
    "Direction",
    "Judgement",
    "MultiTask",
    "Objective",
    "ScaledReturns",
    "Trend",
    "WeightedCrossEntropy",
    "objective_of",
]


def objective_of(settings: TrainSettings, horizons: tuple[int, ...]) -> Objective:
    """Return the objective that the settings name.

    Args:
        settings: its name, and class weights where it has any.
        horizons: minutes (or candles) ahead that returns are known for, the primary one first.
    """
    if settings.objective == "direction":
        return Direction()
    if settings.objective == "multi_task":
        return MultiTask(settings.class_weights, horizons)
    if settings.objective == "trend":
        return Trend(settings.class_weights)
    if settings.objective == "returns":
        return ScaledReturns(horizons)
    return WeightedCrossEntropy(settings.class_weights)
