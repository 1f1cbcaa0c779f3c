"""Register versions of the chain with lineage and parts, and check them when loaded."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.types.schema import ColSpec, Schema

from quantgod.auditor.auditor import CONFIDENCE_FILE
from quantgod.contracts import CLASSES
from quantgod.registry.chain import PackageError, verify
from quantgod.registry.ownership import check_contract, check_name, series_tags
from quantgod.registry.registered import (
    FILES_TAG,
    BrokenVersionError,
    EmptyVersionError,
    NoSuchVersionError,
    all_versions,
    fetch,
    files_digest,
    holder,
    known_version,
)
from quantgod.registry.semantic_version import SEMANTIC_TAG, number_of, parts_of, parts_tag

if TYPE_CHECKING:
    from quantgod.registry.daily.package import DailyPackage
    from quantgod.registry.package import Package

MANIFEST = "manifest_sha256"
DESCRIPTION = """Signals for {series}.

A version's page says what it is and how it did on the test part (its card), what the gates said
(tag `gates`) and what it was made of (tag `lineage`). The steps `promote` and `rollback` alone move
aliases; `deployments` shows which version answered when, and why."""


def register(package: Package, name: str, tags: Mapping[str, str]) -> int:
    """Log `package` as a model of the active run and register it under `name`.

    All versions of a name are of one series.

    The version appears with all its tags at once; they determine its semantic version.

    Args:
        package: result of `build_package`.
        name: of the registered model.
        tags: of the version, including its lineage.

    Returns:
        The new version's number.

    Raises:
        OtherSeriesError: if the name has a version of another series.
    """
    check_name(MlflowClient(), name, package.series)
    asked = signature(
        with_confidence=(package.folder / CONFIDENCE_FILE).is_file(), members=package.members
    )
    known = series_tags(package.series, package.feature_set)
    known |= parts_tag(parts_of(package.folder, package.code, asked.to_dict()))
    number = register_files(package, name, {**tags, **known}, asked, requirements())
    describe(name, DESCRIPTION.format(series=package.series))
    return number


def register_files(
    package: Package | DailyPackage,
    name: str,
    tags: Mapping[str, str],
    asked: ModelSignature,
    needs: Sequence[str],
) -> int:
    """Log a package as a model of the active run, register it under `name`, and number it.

    Args:
        package: whose chain file loads it.
        name: of the registered model.
        tags: of the version, with the digests of its parts; that of its files is added.
        asked: its signature.
        needs: the Python packages that serving needs.

    Returns:
        The new version's number.
    """
    with warnings.catch_warnings():
        # The golden input is the example; MLflow would store a second one and predict it twice.
        warnings.filterwarnings("ignore", ".*An input example was not provided")
        info = mlflow.pyfunc.log_model(
            name="chain",
            python_model=str(package.code),
            artifacts={"package": str(package.folder)},
            model_config={MANIFEST: package.manifest_sha256},
            signature=asked,
            pip_requirements=[*needs],
        )
    with tempfile.TemporaryDirectory() as scratch:
        logged = mlflow.artifacts.download_artifacts(info.model_uri, dst_path=scratch)
        files = files_digest(Path(logged))
    made = mlflow.register_model(info.model_uri, name, tags={**tags, FILES_TAG: files})
    number = int(made.version)
    _number(name, number)
    return number


def describe(name: str, description: str) -> None:
    """Describe the model on its own page, unless it has a description."""
    client = MlflowClient()
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, description)


def _number(name: str, number: int) -> None:
    client = MlflowClient()
    until = [found for found in all_versions(client, name) if int(found.version) <= number]
    semantic = number_of([found.tags for found in until])
    client.set_model_version_tag(name, str(number), SEMANTIC_TAG, str(semantic))


def load_chain(name: str, at: int | str = "Production") -> PyFuncModel:
    """Load a version by number or alias, after checking its files and before running its code.

    Raises:
        NoSuchVersionError: if it is unknown.
        EmptyVersionError: if it has no model.
        BrokenVersionError: if a file was changed, its golden output differs, or its tags name
            another series than its contract.
    """
    client = MlflowClient()
    number = at if isinstance(at, int) else _holder_number(client, name, at)
    found = known_version(client, name, number)
    folder = fetch(name, number)
    check_files(folder, found.tags.get(FILES_TAG))
    try:
        model: PyFuncModel = mlflow.pyfunc.load_model(str(folder))
    except MlflowException as error:
        raise BrokenVersionError(f"{name} {number}: {error.message}") from error
    check_contract(found, model.unwrap_python_model().chain.contract)  # type: ignore[no-untyped-call]
    return model


def check_files(folder: Path, files_sha256: str | None = None) -> None:
    """Check a downloaded model with trusted code, before its own code runs.

    Args:
        folder: the model's files.
        files_sha256: digest of all files, stored at registration, if any.

    Raises:
        EmptyVersionError: if there is no model.
        BrokenVersionError: naming the changed file.
    """
    if not (folder / "MLmodel").is_file():
        raise EmptyVersionError(f"{folder} holds no model")
    try:
        flavor: dict[str, Any] = Model.load(str(folder)).flavors["python_function"]
        package = folder / flavor["artifacts"]["package"]["path"]
        code = folder / Path(flavor["model_code_path"]).name
        verify(package, code, flavor["config"][MANIFEST])
    except PackageError as error:
        raise BrokenVersionError(error.message) from None
    except Exception as error:
        # A damaged MLmodel file can raise any exception.
        raise BrokenVersionError(f"MLmodel cannot be read: {error!r}") from error
    if files_sha256 is not None and files_digest(folder) != files_sha256:
        raise BrokenVersionError("a file beside the package is not the one that was registered")


def signature(*, with_confidence: bool = False, members: Sequence[str] = ()) -> ModelSignature:
    """Return the signature of the outputs. The chain itself parses inputs, strictly and by name.

    MLflow would convert inputs named in a signature before the chain sees them: true becomes 1,
        text
    becomes a number, and duplicate columns or text among numbers become errors without a code.
    """
    probabilities = [f"{kind}_{name.lower()}" for kind in ("base", "prob") for name in CLASSES]
    given = [
        ColSpec("datetime", "datetime"),
        *(ColSpec("double", name) for name in probabilities),
        ColSpec("long", "class"),
        ColSpec("string", "signal"),
        ColSpec("string", "decided_by"),
        *(ColSpec("boolean", f"in_set_{name.lower()}") for name in CLASSES),
        ColSpec("string", "action"),
        ColSpec("string", "abstention"),
        ColSpec("double", "uncertainty"),
        *([ColSpec("double", "base_confidence")] if with_confidence else []),
        *(_of_members(members) if members else ()),
    ]
    return ModelSignature(outputs=Schema([*given]))


def _of_members(members: Sequence[str]) -> Iterator[ColSpec]:
    """Yield the columns that tell of the members of an ensemble."""
    yield ColSpec("string", "vote")
    yield ColSpec("double", "agreement")
    yield ColSpec("double", "meta_confidence")
    yield ColSpec("boolean", "should_trade")
    for name in members:
        for what in (*(label.lower() for label in CLASSES), "weight", "part"):
            yield ColSpec("double", f"{name}_{what}")


def requirements() -> list[str]:
    """Return the packages that serving needs, pinned to the present versions."""
    exact = pinned("mlflow", "numpy", "onnxruntime", "pandas")
    booster = _first_version("xgboost-cpu", "xgboost")
    return [
        *exact,
        f'xgboost-cpu=={booster}; sys_platform != "darwin"',
        f'xgboost=={booster}; sys_platform == "darwin"',
    ]


def pinned(*names: str) -> list[str]:
    """Return packages, each pinned to its present version."""
    return [f"{name}=={version(name)}" for name in names]


def _first_version(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise PackageNotFoundError(" or ".join(names))


def _holder_number(client: MlflowClient, name: str, alias: str) -> int:
    number = holder(client, name, alias)
    if number is None:
        raise NoSuchVersionError(f"{name}@{alias}: no version has this alias (its case matters)")
    return number
