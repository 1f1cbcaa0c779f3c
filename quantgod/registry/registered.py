"""Find versions in the registry by number or alias, and download and check their files.

This imports no model code, so that a command that only moves an alias starts quickly.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Final

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.files import tree_digest
from quantgod.settings import command
from quantgod.tracking.keys import output_of

FILES_TAG: Final = "files_sha256"
# Error codes for a missing model, version or alias; all others mean that the store is away.
_ABSENT: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
SHOWN: Final = 10
"""How many versions an error names."""
_LEFT_BEHIND: Final = ("registered_model_meta",)


class VersionError(ValueError):
    """A version cannot be used."""


class NoSuchVersionError(VersionError):
    """The registry knows no such model, version or alias."""


class EmptyVersionError(VersionError):
    """The version has no model."""


class BrokenVersionError(VersionError):
    """The version's files were changed, cannot be loaded, or do not give the golden output."""


def option_of(version: ModelVersion) -> str:
    """Return the options that name a version to a command."""
    return f"--name {quote(version.name)} --version {version.version}"


def known_version(client: MlflowClient, name: str, number: int) -> ModelVersion:
    """Return a version from the registry.

    Raises:
        NoSuchVersionError: if it is unknown, with the versions that there are.
    """
    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        raise NoSuchVersionError(f"{name} {number}: {_versions_there(client, name)}") from None


def _versions_there(client: MlflowClient, name: str) -> str:
    """Say which versions there are of a model whose asked one is not."""
    numbers = [str(version.version) for version in all_versions(client, name)]
    if not numbers:
        return _no_version()
    which = f"of {len(numbers)} the newest" if len(numbers) > SHOWN else "versions"
    return f"there is no such version, {which} are {', '.join(numbers[-SHOWN:])}"


def _no_version() -> str:
    return f"no version is registered; `{command('main')}` makes one"


def all_versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a model, sorted by number."""
    found: list[ModelVersion] = []
    token = None
    while token != "":
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token or ""
    return sorted(found, key=lambda version: int(version.version))


def newest_version(name: str) -> int:
    """Return the number of the newest version.

    Raises:
        NoSuchVersionError: if there is none.
    """
    found = all_versions(MlflowClient(), name)
    if not found:
        raise NoSuchVersionError(f"{name}: {_no_version()}")
    return int(found[-1].version)


def asked_version(
    client: MlflowClient, name: str, number: int | None, made_by: str | None = None
) -> ModelVersion:
    """Return a version by number, or the one that a run has made or scored, or the newest.

    Raises:
        NoSuchVersionError: if the registry does not know it, or has none.
        NoOutputError: if the run names no version.
    """
    if number is None and made_by is not None:
        output = output_of(made_by, "name", "version")
        name, number = output["name"], int(output["version"])
    return known_version(client, name, newest_version(name) if number is None else number)


def holder(client: MlflowClient, name: str, alias: str) -> int | None:
    """Return the number of the version that an alias points at, or None."""
    try:
        return int(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise  # a store that is away has not said that the alias is gone
        return None


def fetch(name: str, number: int, folder: str | None = None) -> Path:
    """Download a version's files if they are elsewhere, and return their folder.

    Raises:
        EmptyVersionError: if there are none.
    """
    try:
        uri = f"models:/{name}/{number}"
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
    except (MlflowException, OSError) as error:
        raise EmptyVersionError(f"{name} {number}: nothing can be downloaded ({error})") from error


def files_digest(folder: Path) -> str:
    """Return the digest of a model's files, without those left by downloading and loading."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.suffix != ".pyc" and path.name not in _LEFT_BEHIND]
    return tree_digest(folder, kept)
