"""The settings that a search has chosen, laid over those that were given."""

from __future__ import annotations

from typing import Any

import mlflow

from quantgod.settings import Settings

BEST_FILE = "best.json"


def chosen_settings(settings: Settings, optimize_run: str | None) -> Settings:
    """Put a search's best parameters in the place of the given ones; no run, no change."""
    if not optimize_run:
        return settings
    best: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{optimize_run}/{BEST_FILE}")
    return with_best(settings, best)
