from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from packaging.requirements import Requirement

from quantgod.contracts import FEATURES
from quantgod.registry import versions
from quantgod.registry.package import CHAIN_FILE, GoldenRows, build_package
from quantgod.registry.registered import FILES_TAG, BrokenVersionError, newest_version
from quantgod.registry.versions import check_files, load_chain, requirements
from tests.registry.conftest import BRIDGE, GOLDEN, NAME, Parts, Store, flip
from tests.registry.shelves import SERIES


def test_a_version_keeps_its_lineage_and_needs_what_the_chain_needs(
    store: Store, parts: Parts, model: Path
) -> None:
    tags = MlflowClient().get_model_version(NAME, str(store.number)).tags
    assert tags["data"] == "synthetic"
    series = {"symbol", "market", "source", "feature_set"}
    own = {"data", "files_sha256", "parts", "semantic_version", *series}
    later = {"gates.report", "promoted"}  # other tests may have put the version in place
    assert tags.keys() - later == own
    kept = Model.load(str(model)).flavors["python_function"]["config"]
    assert kept == {"manifest_sha256": parts.package.manifest_sha256}
    needed = {
        Requirement(line).name for line in (model / "requirements.txt").read_text().split("\n")
    }
    assert needed == {"mlflow", "numpy", "onnxruntime", "pandas", "xgboost", "xgboost-cpu"}
    assert not list(model.rglob("*.pkl"))


def test_what_the_chain_needs_is_pinned_as_in_the_projects_own_list() -> None:
    listed = Path("requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(requirements()) <= set(listed)


@pytest.mark.parametrize("at", [0.0, 0.37, 0.81, 1.0])
def test_a_flipped_byte_in_any_file_is_refused_before_any_code_runs(
    store: Store, model: Path, at: float
) -> None:
    kept = MlflowClient().get_model_version(NAME, str(store.number)).tags[FILES_TAG]
    check_files(model, kept)
    files = [path for path in model.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) > 10
    for path in files:
        if path.name == "registered_model_meta":
            continue  # written by MLflow when it downloads
        whole = path.read_bytes()
        flip(path, at)
        with pytest.raises(BrokenVersionError):
            check_files(model, kept)
        path.write_bytes(whole)
    check_files(model, kept)


def test_plain_mlflow_refuses_a_flipped_byte_too(model: Path) -> None:
    """A server loads without quantgod: then the chain checks itself."""
    package = model / "artifacts" / "package"
    in_a_comment = (model / "chain.py").read_bytes().index(b"# ") + 2
    files = [path for path in sorted(package.rglob("*")) if path.is_file()]
    places = {path: len(path.read_bytes()) // 2 for path in files}
    for path, place in (places | {model / "chain.py": in_a_comment}).items():
        whole = path.read_bytes()
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x01
        path.write_bytes(spoilt)
        with pytest.raises(MlflowException, match=f"changed_file: .*{path.name} is not the one"):
            mlflow.pyfunc.load_model(str(model))
        path.write_bytes(whole)
    mlflow.pyfunc.load_model(str(model))


def remove_graph(package: Path) -> None:
    (package / "graph.onnx").unlink()


def remove_manifest(package: Path) -> None:
    (package / "manifest.json").unlink()


def add_a_file(package: Path) -> None:
    (package / "more.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (remove_graph, "missing_file: graph.onnx"),
        (remove_manifest, "missing_file: manifest.json"),
        (add_a_file, "changed_file: more.json"),
    ],
)
def test_a_missing_or_an_unknown_file_is_named(
    model: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(model / "artifacts" / "package")
    with pytest.raises(BrokenVersionError, match=reason):
        check_files(model)
    with pytest.raises(MlflowException, match=reason):
        mlflow.pyfunc.load_model(str(model))


def test_the_chain_loads_where_pickle_is_forbidden(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    mlflow.pyfunc.load_model(str(model))


def test_two_versions_in_one_process_each_run_their_own_code(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    code = tmp_path / "chain.py"
    mark = '        columns["class"] = chosen\n'
    source = CHAIN_FILE.read_text(encoding="utf-8")
    assert source.count(mark) == 1
    code.write_text(source.replace(mark, mark + '        columns["written_by"] = "the second"\n'))
    golden = GoldenRows(parts.bars, GOLDEN, BRIDGE)
    made_of = parts.network, parts.auditor_folder, golden, parts.reference, SERIES
    package = build_package(tmp_path / "second", *made_of, code)
    number = store.add(package)
    assert number == newest_version(NAME) != store.number
    first, second = load_chain(NAME, store.number), load_chain(NAME, number)
    rows = parts.bars[list(FEATURES)].iloc[-GOLDEN:].reset_index()
    assert "written_by" not in first.predict(rows)
    assert set(second.predict(rows)["written_by"]) == {"the second"}
    assert "written_by" not in first.predict(rows)


def test_the_booster_is_pinned_by_whichever_of_its_packages_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = {"xgboost": "9.8.7"}

    def version(name: str) -> str:
        if name not in there:
            raise PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(versions, "version", version)
    assert versions._first_version("xgboost-cpu", "xgboost") == "9.8.7"
    there["xgboost-cpu"] = "1.2.3"
    assert versions._first_version("xgboost-cpu", "xgboost") == "1.2.3"
    with pytest.raises(PackageNotFoundError, match="one or other"):
        versions._first_version("one", "other")
