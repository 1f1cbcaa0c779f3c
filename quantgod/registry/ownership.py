"""Whose a registered model is: every version of one name is of one series.

A version carries its series in its contract, which its files' digests bind, and again in its tags,
by which commands compare at once; loading a version compares the two.
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
    """A version of another symbol, market or source than those that it would stand beside."""


def series_tags(series: Series) -> dict[str, str]:
    """Tags of a version that is registered now."""
    return {name: str(getattr(series, name)) for name in _FIELDS} | {FEATURE_SET_TAG: FEATURE_SET}


def series_of(found: ModelVersion) -> Series | None:
    """Whose a version is by its tags; None if it does not say, as older ones do not."""
    said = {name: found.tags[name] for name in _FIELDS if name in found.tags}
    try:
        return msgspec.convert(said, Series) if said else None
    except msgspec.ValidationError as error:
        raise BrokenVersionError(
            f"{found.name} {found.version}: tags name no series: {error}"
        ) from None


def check_name(client: MlflowClient, name: str, series: Series) -> None:
    """See that a name holds no version of another series.

    Raises:
        OtherSeriesError: naming the version, whose it is, and the setting to change.
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
    """See that a version may take the place of another: that both are of one series.

    Raises:
        OtherSeriesError: if they are not. No reason forces this.
    """
    theirs, ours = series_of(in_place), series_of(found)
    if theirs not in (None, ours):
        raise OtherSeriesError(
            f"{found.name} {found.version} is of {ours or 'no series that it names'}, and "
            f"{in_place.version} in place is of {theirs}: register it under a name of its own "
            "(registry.name)"
        )


def check_rows(found: ModelVersion, series: Series) -> None:
    """See that rows to ask a version about are of its own series.

    Raises:
        OtherSeriesError: if they are not.
    """
    theirs = series_of(found)
    if theirs not in (None, series):
        text = f"{found.name} {found.version} is of {theirs}, the rows are of {series}"
        raise OtherSeriesError(f"{text}: name those of its own series")


def check_contract(found: ModelVersion, contract: Any) -> None:
    """Compare what a loaded version was made for with its tags.

    Raises:
        BrokenVersionError: naming what differs.
    """
    for name in (*_FIELDS, FEATURE_SET_TAG):
        came, expected = getattr(contract, name, None), found.tags.get(name)
        if came != expected:
            said = f"its tags name {name} {expected}, its contract {came}"
            raise BrokenVersionError(f"{found.name} {found.version}: {said}")
