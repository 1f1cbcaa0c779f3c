"""Apply the settings that a search has chosen."""

from __future__ import annotations

from typing import Final

import mlflow
from mlflow import MlflowClient

from quantgod.settings import Settings
from quantgod.tracking.keys import artifact_uri
from quantgod.tracking.stage import StageRun, logged_params
from quantgod.tracking.supply import Announce
from quantgod.training.best import BestParameters

BEST_FILE: Final = "best.json"
MEMBERS_FILE: Final = "members.json"
"""Of a run that has trained members: the train run of each by name."""


def chosen_settings(settings: Settings, optimize_run: str | None) -> Settings:
    """Return the settings with a search's best parameters; without a run they are unchanged."""
    if not optimize_run:
        return settings
    best = mlflow.artifacts.load_dict(artifact_uri(optimize_run, BEST_FILE))
    return BestParameters.model_validate(best).applied_to(settings)


def searched_settings(run: StageRun, announce: Announce) -> Settings:
    """Return the settings of a stage's run with its search's choices, and announce them."""
    chosen = chosen_settings(run.settings, run.upstream.get("optimize"))
    if by_search := replaced(run.settings, chosen):
        announce(f"replaced by the search: {by_search}")
    return chosen


def replaced(settings: Settings, chosen: Settings) -> str:
    """Return in one line each training setting that a search has replaced; empty if none."""
    given, found = (logged_params("train", one) for one in (settings, chosen))
    differ = [key for key in sorted(given | found) if given.get(key) != found.get(key)]
    return "; ".join(f"{key}: {given.get(key)} -> {found.get(key)}" for key in differ)


def trials_of(optimize_run: str | None) -> int:
    """Return how many trials a search has finished; 1 without a search."""
    if not optimize_run:
        return 1
    best = mlflow.artifacts.load_dict(artifact_uri(optimize_run, BEST_FILE))
    return BestParameters.model_validate(best).trials


def member_runs(members_run: str) -> dict[str, str]:
    """Return the train run of each member that a run has trained, by name."""
    found: dict[str, str] = mlflow.artifacts.load_dict(artifact_uri(members_run, MEMBERS_FILE))
    return found


def search_behind(client: MlflowClient, train_run: str) -> str | None:
    """Return the search whose choices a train run has taken; None if there was none."""
    searched: str | None = client.get_run(train_run).data.tags.get("quantgod.upstream.optimize")
    return searched


def trials_behind(client: MlflowClient, optimize_run: str | None, members_run: str | None) -> int:
    """Return how many models were tried: in a search, or in those of all members of an ensemble.

    A member that was not searched is one.
    """
    if members_run is None:
        return trials_of(optimize_run)
    return sum(
        trials_of(search_behind(client, train)) for train in member_runs(members_run).values()
    )
