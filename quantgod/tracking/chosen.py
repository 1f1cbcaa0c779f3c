"""The settings that a search has chosen, laid over those that were given."""

from __future__ import annotations

import mlflow

from quantgod.settings import Settings
from quantgod.training.tuning import BestParameters

BEST_FILE = "best.json"


def chosen_settings(settings: Settings, optimize_run: str | None) -> Settings:
    """Put a search's best parameters in the place of the given ones; no run, no change."""
    if not optimize_run:
        return settings
    best = mlflow.artifacts.load_dict(f"runs:/{optimize_run}/{BEST_FILE}")
    return BestParameters.model_validate(best).applied_to(settings)


def trials_of(optimize_run: str | None) -> int:
    """How many trials a search has finished; without one, one model was tried."""
    if not optimize_run:
        return 1
    best = mlflow.artifacts.load_dict(f"runs:/{optimize_run}/{BEST_FILE}")
    return BestParameters.model_validate(best).trials
