"""What a version is born with: its lineage, the digests of its parts, and its semantic version."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.types.schema import ColSpec, Schema

from quantgod.auditor.auditor import Auditor
from quantgod.auditor.calibration import Calibrator
from quantgod.files import file_digest
from quantgod.registry import versions
from quantgod.registry.lineage import lineage_of
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.registered import FILES_TAG, files_digest
from quantgod.registry.semantic_version import SEMANTIC_TAG, parsed
from tests.registry.conftest import (
    BRIDGE,
    CLASS_WEIGHTS,
    GOLDEN,
    Parts,
    Store,
    tiny_auditor,
    tiny_network,
)
from tests.registry.shelves import MADE_OF, NAME, SERIES

FRESH = "fresh"
"""The name of a model that only these tests register."""


def recalibrated(parts: Parts, folder: Path) -> Package:
    """The same network and booster, calibrated anew."""
    calibrator = Calibrator(CLASS_WEIGHTS, CLASS_WEIGHTS, (1.1, 0.9, 0.8), (0.3, 0.0, -0.1))
    tiny = tiny_auditor()
    Auditor(tiny.booster, calibrator, tiny.conformal).save(folder / "auditor")
    return packed(parts, folder, folder / "auditor")


def packed(parts: Parts, folder: Path, auditor: Path, change: float = 0.0) -> Package:
    golden = GoldenRows(parts.bars, GOLDEN, BRIDGE)
    network = tiny_network(parts.bars)
    next(network.model.parameters()).data += change
    return build_package(folder / "package", network, auditor, golden, parts.reference, SERIES)


def registered(store: Store, package: Package) -> str:
    with mlflow.start_run(experiment_id=store.experiment):
        number = versions.register(package, FRESH, {})
    return str(MlflowClient().get_model_version(FRESH, str(number)).tags[SEMANTIC_TAG])


def test_a_network_exports_to_the_same_bytes_each_time(parts: Parts, tmp_path: Path) -> None:
    again = packed(parts, tmp_path, parts.auditor_folder)
    graphs = [file_digest(package.folder / "graph.onnx") for package in (parts.package, again)]
    assert graphs[0] == graphs[1]


def test_the_number_tells_what_has_changed(
    store: Store, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert registered(store, parts.package) == "1.0.0"
    client = MlflowClient()
    said = client.get_registered_model(FRESH).description
    assert said.startswith(f"Signals for {parts.package.series}.\n")
    client.update_registered_model(FRESH, "as somebody has written")
    assert registered(store, recalibrated(parts, tmp_path)) == "1.0.1", "a new calibrator"
    other = packed(parts, tmp_path / "other", parts.auditor_folder, change=0.01)
    assert registered(store, other) == "1.1.0", "a new network"
    asked = versions.signature()
    asked.outputs = Schema([*asked.outputs.inputs, ColSpec("double", "funding_rate")])
    monkeypatch.setattr(versions, "signature", lambda: asked)
    assert registered(store, other) == "2.0.0", "a column more"
    assert registered(store, other) == "2.0.1", "nothing at all"
    assert client.get_registered_model(FRESH).description == "as somebody has written"


def test_a_version_appears_with_all_that_is_known_of_it(
    store: Store, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its semantic version alone follows, and can be told from the rest."""

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_model_version_tag", dies)
        with pytest.raises(RuntimeError, match="killed"):
            store.add(parts.package, **MADE_OF.tags())
    client = MlflowClient()
    newest = client.search_model_versions(f"name = '{NAME}'")[0]
    assert lineage_of(newest) == MADE_OF and "parts" in newest.tags
    files = mlflow.artifacts.download_artifacts(f"models:/{NAME}/{newest.version}")
    assert newest.tags[FILES_TAG] == files_digest(Path(files))
    after = store.add(parts.package)
    given = [
        parsed(version.tags[SEMANTIC_TAG])
        for version in client.search_model_versions(f"name = '{NAME}'")
        if SEMANTIC_TAG in version.tags
    ]
    last = parsed(client.get_model_version(NAME, str(after)).tags[SEMANTIC_TAG])
    assert last is not None
    left = last._replace(patch=last.patch - 1)
    assert last == max(given)
    assert left not in given, "that is the number of the one that was killed"
