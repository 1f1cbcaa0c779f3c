"""Store the settings that a version was made with, and judge it by them by default.

`register` stores all settings, without passwords, as a file of its run, and the version's lineage
holds their digest. A judging step uses them. Given settings may change how the version is judged,
which the verdict then states, but not what it was made with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import mlflow
import yaml
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.files import atomic_path, value_digest
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import VersionError, option_of
from quantgod.settings import (
    Settings,
    SettingsError,
    bare_command,
    command,
    settings_of,
    with_values,
    without_passwords,
)
from quantgod.tracking.stage import logged_params

SETTINGS_FILE: Final = "settings.yaml"
JUDGING: Final = ("evaluate", "backtest", "leak_audit", "gates")
"""Sections on how a version is judged; the other sections of `register` are on how it was made."""

SHOWN: Final = 3


class NoOwnSettingsError(VersionError):
    """The settings that a version was made with are not known."""


class OtherSettingsError(VersionError):
    """The given settings differ from those that the version was made with."""


@dataclass(frozen=True)
class Judging:
    """The settings by which a version is judged.

    Attributes:
        settings: all settings.
        otherwise: differences from the version's own: `gates.mcc_above 0.2 (its own: 0.0)`.
    """

    settings: Settings
    otherwise: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Return the first difference, and how many more there are."""
        return in_short(self.otherwise)


def keep_settings(path: Path, settings: Settings) -> str:
    """Write settings to a file with masked passwords, and return its content's digest."""
    values = without_passwords(settings.model_dump(mode="json"))
    with atomic_path(path) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return value_digest(values)


def own_settings(version: ModelVersion) -> Settings:
    """Return the settings that a version was made with.

    Raises:
        NoOwnSettingsError: if they were not stored, or have changed since.
    """
    place, made = f"{version.name} {version.version}", lineage_of(version)
    run = made.runs.get("register")
    if run is None:
        raise NoOwnSettingsError(_unknown(place, "no register run is named"))
    try:
        text = mlflow.artifacts.load_text(f"runs:/{run}/{SETTINGS_FILE}")
        settings, digest = _read(text, f"{SETTINGS_FILE} of run {run}")
    except MlflowException as error:
        raise NoOwnSettingsError(_unknown(place, error.message)) from None
    except (SettingsError, yaml.YAMLError) as error:
        raise NoOwnSettingsError(_unknown(place, " ".join(str(error).split()))) from None
    if digest != made.settings:  # of the file: earlier code knew fewer settings
        raise NoOwnSettingsError(_unknown(place, f"{SETTINGS_FILE} of run {run} was changed since"))
    return settings


def judging(
    version: ModelVersion, step: str, at_hand: Settings, changes: Mapping[str, Any] | None
) -> Judging:
    """Return the settings by which `step` judges a version: its own, with given changes.

    Args:
        version: the judged version.
        step: the command, for errors.
        at_hand: settings of a given file, or of the default one; they name the store.
        changes: values by dotted key that override the version's own; None if a file was given.

    Raises:
        NoOwnSettingsError: if the version's own settings are not known.
        OtherSettingsError: if the given ones differ in what the version was made with.
    """
    own = own_settings(version)
    asked = at_hand if changes is None else with_values(own, changes)
    asked = asked.model_copy(
        update={
            "registry": asked.registry.model_copy(update={"name": version.name}),
            "tracking": at_hand.tracking,
        }
    )
    theirs, ours = (
        defaultdict(lambda: "nothing", logged_params("register", settings))
        for settings in (own, asked)
    )
    keys = sorted((ours.keys() | theirs.keys()) - {"registry.name"})
    differ = [key for key in keys if ours[key] != theirs[key]]
    otherwise = [key for key in differ if key.partition(".")[0] in JUDGING]
    made = [f"{key} {theirs[key]}, not {ours[key]}" for key in differ if key not in otherwise]
    if made:
        raise OtherSettingsError(
            f"{version.name} {version.version} was made with {in_short(made)}: "
            f"`{bare_command(step, option_of(version))}` takes its own settings, "
            f"`{command('main')}` with those that were given makes another version"
        )
    return Judging(asked, tuple(f"{key} {ours[key]} (its own: {theirs[key]})" for key in otherwise))


def judging_lineage(
    version: ModelVersion,
    step: str,
    named: Mapping[str, str | None],
    at_hand: Settings,
    changes: Mapping[str, Any] | None,
) -> tuple[Judging, dict[str, str | None]]:
    """Return the judging settings of a version, and its lineage's runs where none are named.

    Raises:
        NoOwnSettingsError, OtherSettingsError: as `judging` does.
    """
    own = lineage_of(version).runs
    runs = {stage: run or own.get(stage) for stage, run in named.items()}
    return judging(version, step, at_hand, changes), runs


def own_judging(
    version: ModelVersion, at_hand: Settings, changes: Mapping[str, Any] | None, *, force: bool
) -> Settings:
    """Return the settings for `promote`: the version's own, or with force the given ones.

    Raises:
        NoOwnSettingsError: if they are not known, without force.
        OtherSettingsError: if other settings were given, also on how it is judged.
    """
    try:
        by = judging(version, "promote", at_hand, changes)
    except NoOwnSettingsError:
        if not force:
            raise
        return at_hand
    if by.otherwise:
        raise OtherSettingsError(
            f"{version.name} {version.version} is promoted by its own bounds alone, not by "
            f"{by.in_words()}: `{command('main')}` with what was given makes another version"
        )
    return by.settings


def in_short(texts: Sequence[str]) -> str:
    """Return the first of these texts, and how many more there are."""
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


@lru_cache(maxsize=16)
def _read(text: str, what: str) -> tuple[Settings, str]:
    """Return the settings in a text, and their digest; equal texts are read once."""
    values = yaml.safe_load(text)
    return settings_of(values, what), value_digest(values)


def _unknown(place: str, why: str) -> str:
    return (
        f"the settings that {place} was made by are not known ({why}): "
        f"`{command('main')}` makes a version that keeps them"
    )
