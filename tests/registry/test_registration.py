"""What a version is born with: its lineage, the digests of its parts, and its semantic version."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.types.schema import ColSpec, Schema

from quantgod.auditor.calibration import Calibrator
from quantgod.dataset.learning_table import LearnedFrom
from quantgod.files import file_digest
from quantgod.registry import registration, versions
from quantgod.registry.lineage import Lineage, lineage_of
from quantgod.registry.own_settings import SETTINGS_FILE
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.registered import FILES_TAG, files_digest
from quantgod.registry.semantic_version import SEMANTIC_TAG, parsed
from quantgod.settings import load_settings
from quantgod.tracking.stage_outputs import BaseOutput
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
    replace(tiny, calibrator=calibrator).save(folder / "auditor")
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


@pytest.mark.long
def test_a_network_exports_to_the_same_bytes_each_time(parts: Parts, tmp_path: Path) -> None:
    again = packed(parts, tmp_path, parts.auditor_folder)
    graphs = [file_digest(package.folder / "graph.onnx") for package in (parts.package, again)]
    assert graphs[0] == graphs[1]


@pytest.mark.long
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
    monkeypatch.setattr(versions, "signature", lambda **_: asked)
    assert registered(store, other) == "2.0.0", "a column more"
    assert registered(store, other) == "2.0.1", "nothing at all"
    assert client.get_registered_model(FRESH).description == "as somebody has written"
    same = [registration.same_before(client, FRESH, number) for number in range(1, 6)]
    assert same == [None, None, None, None, 4]


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


def test_each_of_three_parts_is_told_when_it_is_done_and_an_example_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    told: list[tuple[int, int, str]] = []
    places: list[Path] = []

    def build(place: Path, *_: Any) -> Any:
        assert told == [(1, 3, "fetched")]
        places.append(place)
        place.mkdir()
        (place / "golden_input.json").write_text("the rows")
        return SimpleNamespace(folder=place, series=SERIES, export_difference=1e-9)

    def register(*_: Any) -> int:
        assert told[1:] == [(2, 3, "packed")]
        return 7

    def output(*_: Any) -> Any:
        return SimpleNamespace(series=SERIES, folder=0, rows=0)

    def base(*_: Any) -> BaseOutput:
        network: Any = SimpleNamespace(scaler=0, inputs=SimpleNamespace(columns=()))
        return BaseOutput(network, SERIES)

    patched = {
        **dict.fromkeys(("check_makers", "check_one_series", "check_name"), lambda *_: SERIES),
        **dict.fromkeys(("table_series", "load_auditor"), lambda *_: None),
        "learned_from": lambda *_: LearnedFrom(pd.DataFrame(), None),
        **dict.fromkeys(("audit_output", "reference_of", "lineage_of_run"), output),
        "base_output": base,
        "keep_settings": lambda path, _: places.append(path),
        "build_package": build,
        "register": register,
        "same_before": lambda *_: 3,
    }
    for name, stand_in in patched.items():
        monkeypatch.setattr(registration, name, stand_in)
    monkeypatch.setattr(registration, "lineage_of_run", lambda *_: Lineage({}, {}, "", ""))
    settings = load_settings(Path("conf/demo.yaml"), {"data.work": str(tmp_path)})
    run: Any = SimpleNamespace(
        settings=settings, client=None, upstream={}, inputs={"labels": tmp_path},
        scratch=lambda: nullcontext(tmp_path / "scratch"),
        outbox=SimpleNamespace(artifacts=tmp_path / "kept"),
    )  # fmt: skip
    made = registration.register_run(run, lambda *part: told.append(part))
    assert told == [(1, 3, "fetched"), (2, 3, "packed"), (3, 3, "registered")]
    assert made == registration.Registration(settings.registry.name, 7, SERIES, 3, 1e-9)
    assert settings.example.read_text() == "the rows"
    assert places == [tmp_path / "scratch" / "package", tmp_path / "kept" / SETTINGS_FILE]
