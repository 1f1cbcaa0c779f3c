"""Check whether the members of one target can be compared, before any of them is trained."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from mlflow import MlflowClient

from quantgod.dataset.feature_file import read_features
from quantgod.dataset.learning_table import with_features
from quantgod.dataset.table import read_table
from quantgod.ensemble.checking import check_ensemble
from quantgod.evaluation.common_minutes import check_common, forecast_minutes
from quantgod.planning.at_hand import Inventory
from quantgod.planning.fitting import Finding, registry_finding, whole_table
from quantgod.settings import Settings, without_disabled
from quantgod.tracking.reads import beside_labels
from quantgod.tracking.stage import data_path


def ensemble_findings(
    settings: Settings, members: Mapping[str, Settings], client: MlflowClient
) -> list[Finding]:
    """Return whether all members can make one version together."""
    if settings.ensemble is None:
        return []
    try:
        check_ensemble(settings, members)
    except ValueError as error:
        return [Finding("ensemble", "wrong", str(error))]
    voting = without_disabled(settings).members
    told = f"{settings.ensemble.strategy} of {', '.join(voting)}"
    return [Finding("ensemble", "ok", told), registry_finding(settings, client)]


def common_findings(members: Mapping[str, Settings], have: Inventory) -> list[Finding]:
    """Return whether members forecast minutes in common, of the labels at hand or of those to come.

    Which minutes have a whole block of the book is known to `train` alone, which looks again.
    """
    try:
        minutes = {name: forecast_minutes(_table(own, have), own) for name, own in members.items()}
        counts = check_common(minutes)
    except ValueError as error:
        return [Finding("members", "wrong", str(error))]
    told = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    return [Finding("members", "ok", f"minutes that all of them forecast: {told}")]


def _table(settings: Settings, have: Inventory) -> pd.DataFrame:
    """Return what a member learns from, as far as it is there."""
    if not have.label_rows:
        return whole_table(settings, have.minutes)
    table, features = read_table(data_path("labels", settings)), data_path("features", settings)
    if "features" in beside_labels(settings) and features.exists():
        return with_features(table, read_features(features))
    return table
