"""Check the series of versions: all versions of one name are of one series.

A version has its series in its contract, which is covered by its files' digests, and again in its
tags, for quick comparisons; loading a version compares the two.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.contracts import FEATURE_SET, Series
from quantgod.registry.registered import BrokenVersionError, VersionError, all_versions

FEATURE_SET_TAG: Final = "feature_set"
_FIELDS: Final = ("symbol", "market", "source")


class OtherSeriesError(VersionError):
    """A version is of another symbol, market or source than required."""


def series_tags(series: Series, feature_set: str = FEATURE_SET) -> dict[str, str]:
    """Return the tags of a new version."""
    return {name: str(getattr(series, name)) for name in _FIELDS} | {FEATURE_SET_TAG: feature_set}


def series_of(found: ModelVersion) -> Series | None:
    """Return a version's series from its tags; None for older versions without it."""
    said = {name: found.tags[name] for name in _FIELDS if name in found.tags}
    try:
        return msgspec.convert(said, Series) if said else None
    except msgspec.ValidationError as error:
        raise BrokenVersionError(
            f"{found.name} {found.version}: tags name no series: {error}"
        ) from None


def check_name(client: MlflowClient, name: str, series: Series) -> None:
    """Check that a name has no version of another series.

    Raises:
        OtherSeriesError: naming the version, its series, and the setting to change.
    """
    for found in reversed(all_versions(client, name)):
        theirs = series_of(found)
        if theirs not in (None, series):
            raise OtherSeriesError(
                f"{name} {found.version} is of {theirs}, and this is of {series}: a registered "
                "model is of one series; choose another name, such as "
                f"`--set registry.name={name}-{series.symbol.lower()}`"
            )


def check_successor(found: ModelVersion, in_place: ModelVersion) -> None:
    """Check that a version and the champion it would replace are of one series.

    Raises:
        OtherSeriesError: if they are not; this cannot be forced.
    """
    theirs, ours = series_of(in_place), series_of(found)
    if theirs not in (None, ours):
        raise OtherSeriesError(
            f"{found.name} {found.version} is of {ours or 'no series that it names'}, and "
            f"{in_place.version} in place is of {theirs}: register it under a name of its own "
            "(registry.name)"
        )


def check_rows(found: ModelVersion, series: Series) -> None:
    """Check that rows are of a version's own series.

    Raises:
        OtherSeriesError: if they are not.
    """
    theirs = series_of(found)
    if theirs not in (None, series):
        text = f"{found.name} {found.version} is of {theirs}, the rows are of {series}"
        raise OtherSeriesError(f"{text}: name those of its own series")


def check_contract(found: ModelVersion, contract: Any) -> None:
    """Compare the contract of a loaded version with its tags.

    Raises:
        BrokenVersionError: naming what differs.
    """
    for name in (*_FIELDS, FEATURE_SET_TAG):
        came, expected = getattr(contract, name, None), found.tags.get(name)
        if came != expected:
            said = f"its tags name {name} {expected}, its contract {came}"
            raise BrokenVersionError(f"{found.name} {found.version}: {said}")
