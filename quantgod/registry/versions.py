"""Versions of the chain: registered with lineage, tried before promotion, checked when loaded."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.tracking.context.default_context import DefaultRunContext
from mlflow.types.schema import AnyType, ColSpec, Schema

from quantgod.contracts import CLASSES, FEATURES
from quantgod.files import tree_digest
from quantgod.registry.chain import PackageError, verify

if TYPE_CHECKING:
    from quantgod.registry.package import Package

MANIFEST_TAG = "manifest_sha256"
FILES_TAG = "files_sha256"
TRIAL_SECONDS = 300
PROJECT = Path(__file__).resolve().parents[2]


class VersionError(ValueError):
    """A version that cannot be used."""


class NoSuchVersionError(VersionError):
    """The registry knows no such model, version or alias."""


class EmptyVersionError(VersionError):
    """The version holds no model."""


class BrokenVersionError(VersionError):
    """The version's files were changed, cannot be loaded, or do not give the golden output."""


def register(package: Package, name: str, tags: Mapping[str, str]) -> int:
    """Log `package` as a model of the active run and register it under `name`.

    Args:
        package: what `build_package` made.
        name: the registered model's name.
        tags: lineage and test figures; they become tags of the version.

    Returns:
        The new version's number.
    """
    with warnings.catch_warnings():
        # The golden input is the example; MLflow would keep a second one and predict it twice.
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        info = mlflow.pyfunc.log_model(
            name="chain",
            python_model=str(package.code),
            artifacts={"package": str(package.folder)},
            model_config={MANIFEST_TAG: package.manifest_sha256},
            signature=signature(),
            pip_requirements=requirements(),
            registered_model_name=name,
        )
    number = int(info.registered_model_version)
    client = MlflowClient()
    with tempfile.TemporaryDirectory() as scratch:
        files = files_digest(_download(name, number, scratch))
    known = {MANIFEST_TAG: package.manifest_sha256, FILES_TAG: files}
    for key, value in {**tags, **known}.items():
        client.set_model_version_tag(name, str(number), key, value)
    return number


def promote(name: str, number: int, alias: str = "Production", by: str | None = None) -> None:
    """Point `alias` (its case matters) at a version that has proved itself in a fresh process.

    The process loads the version with pickle forbidden and predicts the golden input. Who promoted
    it, when, and what it replaced become tags of the version.

    Raises:
        NoSuchVersionError: if the registry does not know the version.
        EmptyVersionError: if it holds no model.
        BrokenVersionError: if a file was changed, it cannot be loaded, or it says something else.
    """
    client = MlflowClient()
    found = _known_version(client, name, number)
    with tempfile.TemporaryDirectory() as scratch:
        check_files(_download(name, number, scratch), found.tags.get(FILES_TAG))
    _try(name, number)
    replaced = _holder(client, name, alias)
    client.set_registered_model_alias(name, alias, str(number))
    who = by or DefaultRunContext().tags()["mlflow.user"]  # type: ignore[no-untyped-call]
    tags = {
        "promoted_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "promoted_by": who,
        "promoted_as": alias,
        "promoted_over": "none" if replaced is None else replaced.version,
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, str(number), key, str(value))


def newest_version(name: str) -> int:
    """Give the number of the version that was registered last.

    Raises:
        NoSuchVersionError: if there is none.
    """
    found = MlflowClient().search_model_versions(f"name = '{name}'")
    if not found:
        raise NoSuchVersionError(f"{name}: no version is registered")
    return max(int(version.version) for version in found)


def load_chain(name: str, at: int | str = "Production") -> PyFuncModel:
    """Load a version by number or alias; its files are checked before any of its code runs.

    Raises:
        NoSuchVersionError: if the registry does not know it.
        EmptyVersionError: if it holds no model.
        BrokenVersionError: if a file was changed or it does not give its golden output.
    """
    client = MlflowClient()
    number = at if isinstance(at, int) else _holder_number(client, name, at)
    found = _known_version(client, name, number)
    folder = _download(name, number)
    check_files(folder, found.tags.get(FILES_TAG))
    try:
        model: PyFuncModel = mlflow.pyfunc.load_model(str(folder))
    except MlflowException as error:
        raise BrokenVersionError(f"{name} {number}: {error.message}") from error
    return model


def check_files(folder: Path, files_sha256: str | None = None) -> None:
    """Check a downloaded model by trusted code, before its own runs.

    Args:
        folder: the model's files.
        files_sha256: the digest of all of them that was kept when it was registered, if any was.

    Raises:
        EmptyVersionError: if there is no model.
        BrokenVersionError: naming the file that is not as it was.
    """
    if not (folder / "MLmodel").is_file():
        raise EmptyVersionError(f"{folder} holds no model")
    try:
        flavor: dict[str, Any] = Model.load(str(folder)).flavors["python_function"]
        package = folder / flavor["artifacts"]["package"]["path"]
        code = folder / Path(flavor["model_code_path"]).name
        verify(package, code, flavor["config"][MANIFEST_TAG])
    except PackageError as error:
        raise BrokenVersionError(error.message) from None
    except Exception as error:
        # Of a damaged MLmodel file anything may be true; what it says cannot be listed beforehand.
        raise BrokenVersionError(f"MLmodel cannot be read: {error!r}") from error
    if files_sha256 is not None and files_digest(folder) != files_sha256:
        raise BrokenVersionError("a file beside the package is not the one that was registered")


def files_digest(folder: Path) -> str:
    """Digest of every file of a model but those that downloading and loading it leave behind."""
    left_behind = ("registered_model_meta",)
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.suffix != ".pyc" and path.name not in left_behind]
    return tree_digest(folder, kept)


def signature() -> ModelSignature:
    """Name the columns, so that their order cannot matter.

    `datetime` is of any type, because MLflow's own datetime refuses times with a zone, text ending
    in `Z` among them; the chain itself reads it and is strict.
    """
    moment = ColSpec(AnyType(), "datetime")  # type: ignore[no-untyped-call]
    taken = [moment, *(ColSpec("double", name) for name in FEATURES)]
    probabilities = [f"{kind}_{name.lower()}" for kind in ("base", "prob") for name in CLASSES]
    given = [
        ColSpec("datetime", "datetime"),
        *(ColSpec("double", name) for name in probabilities),
        ColSpec("long", "class"),
        ColSpec("string", "signal"),
        ColSpec("double", "uncertainty"),
    ]
    return ModelSignature(inputs=Schema([*taken]), outputs=Schema([*given]))


def requirements() -> list[str]:
    """What the chain needs to be served, pinned to what it was tried with here."""
    exact = [f"{name}=={version(name)}" for name in ("mlflow", "numpy", "onnxruntime", "pandas")]
    booster = _first_version("xgboost-cpu", "xgboost")
    return [
        *exact,
        f'xgboost-cpu=={booster}; sys_platform != "darwin"',
        f'xgboost=={booster}; sys_platform == "darwin"',
    ]


def _first_version(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise PackageNotFoundError(" or ".join(names))


def _known_version(client: MlflowClient, name: str, number: int) -> ModelVersion:
    try:
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        raise NoSuchVersionError(f"{name} {number}: {error.message}") from None


def _holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None


def _holder_number(client: MlflowClient, name: str, alias: str) -> int:
    holder = _holder(client, name, alias)
    if holder is None:
        raise NoSuchVersionError(f"{name}@{alias}: no version has this alias (its case matters)")
    return int(holder.version)


def _download(name: str, number: int, folder: str | None = None) -> Path:
    try:
        uri = f"models:/{name}/{number}"
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
    except (MlflowException, OSError) as error:
        raise EmptyVersionError(f"{name} {number}: nothing can be downloaded ({error})") from error


def _try(name: str, number: int) -> None:
    """Let a fresh process load the version and predict the golden input."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "quantgod.registry.trial", name, str(number), str(report)]
        ended = subprocess.run(
            command,
            env=_trial_environment(),
            capture_output=True,
            text=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
        if not report.is_file():
            raise BrokenVersionError(
                f"{name} {number}: the process that tried it ended with code {ended.returncode}: "
                f"{ended.stderr[-500:]}"
            )
        said = json.loads(report.read_text(encoding="utf-8"))
    if said["error"]:
        raise BrokenVersionError(f"{said['error']}: {said['message']}")


def _trial_environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "MLFLOW_REGISTRY_URI": mlflow.get_registry_uri(),
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
