from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from packaging.requirements import Requirement

from quantgod.contracts import FEATURES
from quantgod.files import file_digest, write_json
from quantgod.registry.package import CHAIN_FILE, GoldenRows, Package, build_package
from quantgod.registry.versions import (
    FILES_TAG,
    BrokenVersionError,
    EmptyVersionError,
    NoSuchVersionError,
    check_files,
    load_chain,
    newest_version,
    promote,
    register,
    requirements,
)
from tests.registry.conftest import BRIDGE, GOLDEN, NAME, Parts, Store, tracked
from tests.servers import tracking_server


@pytest.fixture
def model(store: Store, tmp_path: Path) -> Path:
    """The files of version 1, to be spoilt."""
    source = mlflow.artifacts.download_artifacts(f"models:/{NAME}/{store.number}")
    return Path(shutil.copytree(source, tmp_path / "model"))


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 0x01
    path.write_bytes(content)


def test_a_version_keeps_its_lineage_and_needs_what_the_chain_needs(
    store: Store, parts: Parts, model: Path
) -> None:
    tags = MlflowClient().get_model_version(NAME, str(store.number)).tags
    assert tags["data"] == "synthetic"
    assert tags["manifest_sha256"] == parts.package.manifest_sha256
    needed = {
        Requirement(line).name for line in (model / "requirements.txt").read_text().split("\n")
    }
    assert needed == {"mlflow", "numpy", "onnxruntime", "pandas", "xgboost", "xgboost-cpu"}
    assert not list(model.rglob("*.pkl"))


def test_what_the_chain_needs_is_pinned_as_in_the_projects_own_list() -> None:
    listed = Path("requirements.txt").read_text(encoding="utf-8").splitlines()
    assert set(requirements()) <= set(listed)


def test_a_version_is_promoted_by_a_fresh_process_and_loads_by_its_alias(
    store: Store, parts: Parts
) -> None:
    promote(NAME, store.number, by="a tester")
    client = MlflowClient()
    tags = client.get_model_version_by_alias(NAME, "Production").tags
    assert tags["promoted_by"] == "a tester"
    assert tags["promoted_over"] == "none"
    assert tags["promoted_at"].endswith("+00:00")
    with pytest.raises(NoSuchVersionError, match="no version has this alias"):
        load_chain(NAME, "production")
    rows = parts.bars[list(FEATURES)].reset_index()
    said = load_chain(NAME).predict(rows)
    again = mlflow.pyfunc.load_model(f"models:/{NAME}@Production").predict(rows)
    assert said.equals(again)


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
    places = {path: len(path.read_bytes()) // 2 for path in sorted(package.iterdir())}
    for path, place in (places | {model / "chain.py": in_a_comment}).items():
        whole = path.read_bytes()
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x01
        path.write_bytes(spoilt)
        with pytest.raises(MlflowException, match=f"changed_file: {path.name} is not the one"):
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
    made_of = parts.network, parts.auditor_folder, golden, parts.reference
    package = build_package(tmp_path / "second", *made_of, code)
    number = store.add(package)
    assert number == newest_version(NAME) != store.number
    first, second = load_chain(NAME, store.number), load_chain(NAME, number)
    rows = parts.bars[list(FEATURES)].iloc[-GOLDEN:].reset_index()
    assert "written_by" not in first.predict(rows)
    assert set(second.predict(rows)["written_by"]) == {"the second"}
    assert "written_by" not in first.predict(rows)


def test_versions_that_are_not_there_are_refused_by_name(store: Store) -> None:
    for name, number in ((NAME, 99), ("nobody", 1)):
        with pytest.raises(NoSuchVersionError, match=f"{name} {number}: "):
            promote(name, number, "Elsewhere")
    with pytest.raises(NoSuchVersionError, match="nobody"):
        newest_version("nobody")


def test_an_empty_and_a_changed_version_are_not_promoted(
    store: Store, model: Path, tmp_path: Path
) -> None:
    client = MlflowClient()
    (tmp_path / "nothing").mkdir()
    flip(model / "artifacts" / "package" / "booster.ubj", 0.5)
    cases = (
        (tmp_path / "nothing", EmptyVersionError, "no model|nothing can be downloaded"),
        (model, BrokenVersionError, "changed_file: booster.ubj"),
    )
    for source, error, reason in cases:
        version = client.create_model_version(NAME, source=str(source))
        with pytest.raises(error, match=reason):
            promote(NAME, int(version.version), "Doubtful")
    with pytest.raises(MlflowException):
        client.get_model_version_by_alias(NAME, "Doubtful")


def test_a_version_that_no_longer_gives_its_golden_output_is_not_promoted(
    store: Store, parts: Parts, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(parts.package.folder, tmp_path / "package"))
    said = json.loads((folder / "golden_output.json").read_text())
    said["predictions"][7]["prob_buy"] += 1e-3
    write_json(folder / "golden_output.json", said)
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(
        folder / "manifest.json",
        manifest | {"golden_output.json": file_digest(folder / "golden_output.json")},
    )
    number = store.add(Package(folder, CHAIN_FILE, file_digest(folder / "manifest.json"), 0.0))
    with pytest.raises(BrokenVersionError, match=r"golden_output: prob_buy is off by 0\.001"):
        promote(NAME, number, "Doubtful")
    with pytest.raises(MlflowException):
        MlflowClient().get_model_version_by_alias(NAME, "Doubtful")


def test_a_process_that_dies_on_a_version_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(BrokenVersionError, match="ended with code 7"):
        promote(NAME, store.number, "Doubtful")


def test_the_whole_way_works_against_an_mlflow_server(parts: Parts, tmp_path: Path) -> None:
    with tracking_server(tmp_path) as server, tracked(server.address):
        experiment = MlflowClient().create_experiment("served")
        with mlflow.start_run(experiment_id=experiment):
            number = register(parts.package, NAME, {"place": "server"})
        promote(NAME, number)
        rows = parts.bars[list(FEATURES)].iloc[-GOLDEN:].reset_index()
        said = load_chain(NAME).predict(rows)
        assert np.isfinite(said.select_dtypes("number")).all(axis=None)
        assert MlflowClient().get_model_version(NAME, str(number)).tags["place"] == "server"
