"""Ask the registry for the holder of an alias, and keep verified copies of versions on disk.

A copy is in `NAME/VERSION-DIGEST/`; `NAME/ALIAS.json` names the copy that was deployed last, and is
written after its test. So a start without the registry finds the last good version, and changed
files are refused by their digest.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from quantgod.contracts.panel import NOBODY
from quantgod.files import write_json
from quantgod.registry.registered import (
    FILES_TAG,
    BrokenVersionError,
    EmptyVersionError,
    VersionError,
    files_digest,
    known_version,
)
from quantgod.registry.right import right_of
from quantgod.registry.switching import disabled_members
from quantgod.registry.versions import check_files

# Error codes for a missing alias or model; all others mean that the registry is away.
_ABSENT: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_PART_SECONDS: Final = 86_400


class RegistryAwayError(VersionError):
    """The registry gave no valid answer."""


class NoCopyError(VersionError):
    """There is no verified copy of a deployed version on this disk."""


class Holder(NamedTuple):
    """The version that an alias points at, and the registered digest of its files, if any."""

    version: int
    files_sha256: str | None


@dataclass(frozen=True)
class Copy:
    """The files of one version on this disk.

    Attributes:
        version: its number.
        files_sha256: digest of all its files.
        folder: where they are.
    """

    version: int
    files_sha256: str
    folder: Path


class Kept(NamedTuple):
    """A copy that was deployed last.

    Attributes:
        copy: of the version.
        since: when it was deployed.
        right: by which.
        disabled: why members of it are not asked, by name.
    """

    copy: Copy
    since: str
    right: str
    disabled: dict[str, str]


def holder(name: str, alias: str) -> Holder | None:
    """Return the version of an alias, or None. May block for a minute.

    Raises:
        RegistryAwayError: if the registry does not answer.
    """
    try:
        found = MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise RegistryAwayError(f"{name}@{alias}: {error.message}") from error
    except Exception as error:
        # A client may raise any error of its database or transport; none of them is an answer.
        raise RegistryAwayError(f"{name}@{alias}: {error!r}") from error
    return Holder(int(found.version), found.tags.get(FILES_TAG))


def right(name: str, alias: str, version: int) -> str:
    """Return the right of a version to an alias. May block for a minute.

    Raises:
        UnjudgedVersionError: if it has none, with what to do.
        RegistryAwayError: if the registry does not answer.
    """
    client = MlflowClient()
    try:
        return right_of(client, known_version(client, name, version), alias)
    except VersionError:
        raise
    except Exception as error:
        raise RegistryAwayError(f"{name}@{alias}: {error!r}") from error  # as in `holder`


def disabled(name: str, alias: str, version: int) -> dict[str, str]:
    """Return why members of a version are disabled, by name. May block for a minute.

    Raises:
        RegistryAwayError: if the registry does not answer, or its ledger cannot be read.
    """
    try:
        return disabled_members(MlflowClient(), name, alias, version)
    except Exception as error:
        raise RegistryAwayError(f"{name}@{alias}: {error!r}") from error  # as in `holder`


class ModelStore:
    """The copies of one registered model.

    Args:
        folder: of the copies of all models.
        name: of this model.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / name
        self.name = name

    def fetch(self, wanted: Holder) -> Copy:
        """Return a checked copy of a version: the present one, or a new one. May block.

        Raises:
            EmptyVersionError: if there is nothing to download, or no disk space.
            BrokenVersionError: if a file is not the registered one.
        """
        here = (
            None if wanted.files_sha256 is None else self._copy(wanted.version, wanted.files_sha256)
        )
        if here is not None and _is_whole(here):
            return here
        try:
            return self._fetch(wanted)
        except OSError as error:
            text = f"{self.name} {wanted.version}: no copy can be made: {error}"
            raise EmptyVersionError(text) from error

    def _fetch(self, wanted: Holder) -> Copy:
        with self._part() as part:
            files = _download(self.name, wanted.version, part)
            check_files(files, wanted.files_sha256)
            copy = self._copy(wanted.version, files_digest(files))
            shutil.rmtree(copy.folder, ignore_errors=True)
            files.rename(copy.folder)
        return copy

    def keep(
        self,
        alias: str,
        copy: Copy,
        in_use: Sequence[Copy] = (),
        entitled_by: str = "",
        disabled: Mapping[str, str] = NOBODY,
    ) -> None:
        """Record that `copy` was deployed as `alias`, with its right, and remove unused copies.

        Of a copy that is recorded already, time and right stay as they are.

        Raises:
            OSError: if it cannot be written, or the copy is gone.
        """
        if not copy.folder.is_dir():
            raise FileNotFoundError(f"{copy.folder} is gone")
        path = self.folder / f"{alias}.json"
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        kept, said = self._recorded_in(path), Kept(copy, now, entitled_by, dict(disabled))
        if kept is not None and kept.copy == copy:
            said = said._replace(since=kept.since, right=kept.right)
        if said != kept:
            record = {
                "version": copy.version,
                "files_sha256": copy.files_sha256,
                "folder": copy.folder.name,
                "deployed_at": said.since,
                "right": said.right,
                "disabled": said.disabled,
            }
            write_json(path, record)
        self._remove_others({one.folder.name for one in (copy, *in_use)} | self._recorded())

    def kept(self, alias: str) -> Kept:
        """Return the checked copy last deployed as `alias`.

        Raises:
            NoCopyError: if there is none.
            BrokenVersionError: naming a file that has changed.
        """
        kept = self._read(self.folder / f"{alias}.json")
        check_files(kept.copy.folder, kept.copy.files_sha256)
        return kept

    def _read(self, path: Path) -> Kept:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            copy = self._copy(int(record["version"]), str(record["files_sha256"]))
            since, entitled_by = str(record["deployed_at"]), str(record.get("right", ""))
            return Kept(copy, since, entitled_by, dict(record.get("disabled", {})))
        except FileNotFoundError:
            raise NoCopyError(f"{path}: no copy was kept") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenVersionError(f"{path}: not a record of a copy: {error!r}") from error

    def _recorded_in(self, path: Path) -> Kept | None:
        try:
            return self._read(path)
        except VersionError:
            return None

    def _copy(self, version: int, files_sha256: str) -> Copy:
        return Copy(version, files_sha256, self.folder / f"{version}-{files_sha256[:16]}")

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """Yield a temporary folder for a download."""
        part = self.folder / f".{secrets.token_hex(8)}.part"
        part.mkdir(parents=True)
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _recorded(self) -> set[str]:
        """Return the folders named by the aliases' records."""
        named = set()
        for path in self.folder.glob("*.json"):
            with suppress(ValueError, KeyError, TypeError):
                named.add(str(json.loads(path.read_text(encoding="utf-8"))["folder"]))
        return named

    def _remove_others(self, needed: set[str]) -> None:
        """Remove unneeded copies, and downloads left by dead processes."""
        for folder in self.folder.iterdir():
            is_part = folder.name.startswith(".")
            if is_part and time.time() - folder.stat().st_mtime < _PART_SECONDS:
                continue  # another process may be downloading
            if folder.is_dir() and folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)


def _is_whole(copy: Copy) -> bool:
    try:
        check_files(copy.folder, copy.files_sha256)
    except VersionError:
        return False
    return True


def _download(name: str, version: int, folder: Path) -> Path:
    try:
        uri = f"models:/{name}/{version}"
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except Exception as error:
        # As in `holder`: an artifact store may raise any error of its backend.
        raise EmptyVersionError(f"nothing can be downloaded: {error}") from error
