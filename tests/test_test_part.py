"""Nothing but `evaluate` reads the test part: change all of it, and nothing else changes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import click
import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run

import steps.audit
import steps.train
from quantgod.auditor.auditor import FILES
from quantgod.contracts import FEATURES, Series
from quantgod.dataset.labels import NO_TARGET, label
from quantgod.dataset.table import write_table
from quantgod.files import file_digest
from quantgod.settings import load_settings
from quantgod.tracking.stage import StageRun
from tests.registry.conftest import tracked
from tests.stores import fresh_store
from tests.synthetic import synthetic_bars

CONFIG = "tests/end_to_end/tiny.yaml"
SERIES = Series("BTCUSDT", "linear")
TIMES = {"seconds", "windows_per_second"}
"""What an epoch says of the clock."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """What a stage's run has kept: its files, and its metrics but for times."""

    files: dict[str, object]
    metrics: dict[str, float]


def labelled() -> pd.DataFrame:
    settings = load_settings(Path(CONFIG))
    bars = synthetic_bars(1_800, seed=3, signal=0.7)
    return label(bars, settings.label, settings.etl.max_bridge_minutes)


def with_another_test_part(table: pd.DataFrame) -> pd.DataFrame:
    """Every value of the test part another one; its minutes and which are labelled stay."""
    settings = load_settings(Path(CONFIG))
    known = np.flatnonzero(table["target"] != NO_TARGET)
    begins = known[len(known) - round(len(known) * settings.split.test_fraction)]
    changed = table.copy()
    tested = np.arange(len(table)) >= begins
    rng = np.random.default_rng(1)
    for name in (*FEATURES, "close", "forward_return"):
        changed.loc[tested, name] = changed.loc[tested, name] * 3 + rng.normal(size=tested.sum())
    labels = tested & (table["target"] != NO_TARGET).to_numpy()
    changed.loc[labels, "target"] = (changed.loc[labels, "target"] + 1) % 3
    assert tested.sum() > 150 and not changed.equals(table)
    return changed


def kept(run: Run, folder: Path) -> Kept:
    mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(folder))
    files = {
        str(path.relative_to(folder)): content(path) for path in folder.rglob("*") if path.is_file()
    }
    metrics = {
        name: value for name, value in run.data.metrics.items() if not name.endswith(tuple(TIMES))
    }
    return Kept(files, metrics)


def content(path: Path) -> object:
    """A file's digest, or of a history what it says but for times."""
    if path.name not in ("history.json", "fold_epochs.json"):
        return file_digest(path)
    epochs = json.loads(path.read_text())
    return [{name: epoch[name] for name in epoch.keys() - TIMES} for epoch in epochs]


def write_down(run: StageRun, name: str, figure: Figure) -> None:
    """Keep a figure as the numbers and words in it, which takes no drawing."""
    shown = [
        [[line.get_xydata().tolist() for line in axes.lines] for axes in figure.axes],
        [[str(patch.get_extents()) for patch in axes.patches] for axes in figure.axes],
        [[dots.get_offsets().tolist() for dots in axes.collections] for axes in figure.axes],
        [[text.get_text() for text in axes.texts] for axes in figure.axes],
    ]
    run.json(f"figure-{name}", shown)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Kept]]]:
    """What train and audit keep of a table, and of one with another test part."""
    table = labelled()
    tables = {"as it is": table, "another": with_another_test_part(table)}
    root = tmp_path_factory.mktemp("test_part")
    with tracked(fresh_store(root)), pytest.MonkeyPatch.context() as patch:
        patch.setattr(StageRun, "figure", write_down)
        experiment = MlflowClient().create_experiment("x", artifact_location=str(root / "kept"))
        yield {name: made_of(given, root / name, experiment) for name, given in tables.items()}


def made_of(table: pd.DataFrame, folder: Path, experiment: str, *more: str) -> dict[str, Kept]:
    write_table(folder / "labels" / "linear" / "BTCUSDT.parquet", table, SERIES)
    places = {"data.labels": folder / "labels", "data.work": folder / "work"}
    places |= {"tracking.outbox": folder / "outbox"}
    values = [*(f"{key}={value}" for key, value in places.items()), "tracking.experiment=x", *more]
    given = ";".join(values)

    def run_of(command: click.Command, *arguments: str) -> Run:
        done = CliRunner().invoke(command, ["--config", CONFIG, "--set", given, *arguments])
        assert done.exit_code == 0, done.output
        return MlflowClient().search_runs([experiment], max_results=1)[0]

    train = run_of(steps.train.main)
    audit = run_of(steps.audit.main, "--train-run", train.info.run_id)
    assert_a_larger_test_part_is_refused(["--set", given, "--train-run", train.info.run_id])
    return {
        name: kept(run, folder / name) for name, run in {"train": train, "audit": audit}.items()
    }


@pytest.mark.long
def test_a_network_of_the_direction_alone_is_trained_and_audited(tmp_path: Path) -> None:
    with tracked(fresh_store(tmp_path)):
        experiment = MlflowClient().create_experiment("x", artifact_location=str(tmp_path / "kept"))
        found = made_of(labelled(), tmp_path / "made", experiment, "train.objective=direction")
    epochs = found["audit"].files["fold_epochs.json"]
    assert {name for epoch in epochs for name in epoch["figures"]} == {"direction_f1", "accuracy"}
    assert {"fold_1_score", "fold_1_validation_loss"} < found["audit"].metrics.keys()


def assert_a_larger_test_part_is_refused(arguments: list[str]) -> None:
    """The network has learned from what would then be the test part."""
    larger = ["--config", CONFIG, "--set", "split.test_fraction=0.6", *arguments]
    done = CliRunner().invoke(steps.audit.main, larger)
    assert done.exit_code == 1
    assert "ProvenanceError: the network learned from labels up to" in done.output


def test_training_keeps_the_same_whatever_the_test_part_holds(
    made: dict[str, dict[str, Kept]],
) -> None:
    one, other = made["as it is"]["train"], made["another"]["train"]
    assert "network/weights.safetensors" in one.files and len(one.metrics) > 10
    assert one == other


def test_the_audit_keeps_the_same_whatever_the_test_part_holds(
    made: dict[str, dict[str, Kept]],
) -> None:
    one, other = made["as it is"]["audit"], made["another"]["audit"]
    assert {f"auditor/{name}" for name in FILES} | {"out_of_fold/rows.parquet"} < one.files.keys()
    assert any(name.startswith("oof_unfitted_auditor_") for name in one.metrics)
    assert one == other


def test_nothing_that_the_audit_reports_is_of_the_test_part(
    made: dict[str, dict[str, Kept]],
) -> None:
    assert not [name for name in made["as it is"]["audit"].metrics if name.startswith("test_")]
