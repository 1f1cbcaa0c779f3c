"""The settings that a search has chosen, laid over those that were given."""

from __future__ import annotations

import mlflow

from quantgod.settings import Settings
from quantgod.tracking.stage import StageRun, logged_params
from quantgod.tracking.supply import Announce
from quantgod.training.tuning import BestParameters

BEST_FILE = "best.json"


def chosen_settings(settings: Settings, optimize_run: str | None) -> Settings:
    """Put a search's best parameters in the place of the given ones; no run, no change."""
    if not optimize_run:
        return settings
    best = mlflow.artifacts.load_dict(f"runs:/{optimize_run}/{BEST_FILE}")
    return BestParameters.model_validate(best).applied_to(settings)


def searched_settings(run: StageRun, announce: Announce) -> Settings:
    """The settings of a stage's run with what its search has chosen, of which people are told."""
    chosen = chosen_settings(run.settings, run.upstream.get("optimize"))
    if by_search := replaced(run.settings, chosen):
        announce(f"replaced by the search: {by_search}")
    return chosen


def replaced(settings: Settings, chosen: Settings) -> str:
    """In a line, each setting of the training that a search has replaced; empty if none is."""
    given, found = (logged_params("train", one) for one in (settings, chosen))
    differ = [key for key in sorted(given | found) if given.get(key) != found.get(key)]
    return "; ".join(f"{key}: {given.get(key)} -> {found.get(key)}" for key in differ)


def trials_of(optimize_run: str | None) -> int:
    """How many trials a search has finished; without one, one model was tried."""
    if not optimize_run:
        return 1
    best = mlflow.artifacts.load_dict(f"runs:/{optimize_run}/{BEST_FILE}")
    return BestParameters.model_validate(best).trials
