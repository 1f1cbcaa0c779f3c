"""A network of the book and the 112 is trained and audited, and refused by what follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import steps.audit
import steps.etl
import steps.evaluate
import steps.features
import steps.label
import steps.leak_audit
import steps.optimize
import steps.register
import steps.simulate
import steps.snapshots
import steps.train
from quantgod.dataset.learning_table import learned_from
from quantgod.forecasters.network import load_network
from quantgod.tracking.keys import artifacts_of
from tests.conftest import forget_experiments
from tests.end_to_end.test_network_of_features import Project

PARAMS = "{width: 4, layers: 1, attention_heads: 1, dropout: 0.0}"
SETTINGS = {
    "model.name": "tlob",
    "model.params": PARAMS,
    "window.length": 60,
    "snapshots.levels": 3,
    "snapshots.interval_ms": 2000,
    "snapshots.per_minute": 4,
    "snapshots.block": 4,
    "optimize.trials": 1,
    "optimize.space": "{width: [4], layers: [1], window_length: [60], batch_size: [32]}",
}
pytestmark = pytest.mark.filterwarnings("ignore::quantgod.dataset.scaling.ConstantFeatureWarning")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = Project(tmp_path_factory.mktemp("project"))
        made.settings |= SETTINGS
        made.run(steps.simulate)
        made.run(steps.etl, "simulate")
        made.run(steps.label, "etl")
        made.run(steps.features, "etl")
        made.run(steps.snapshots, "etl")
        of = ("label", "features", "snapshots")
        made.run(steps.optimize, *of)
        made.run(steps.train, *of, "optimize")
        made.run(steps.audit, *of, "optimize", "train")
        yield made
    mlflow.set_tracking_uri(before)
    forget_experiments()


def test_it_is_trained_and_audited_on_blocks_that_its_runs_name(
    project: Project, tmp_path: Path
) -> None:
    network = load_network(artifacts_of(project.runs["train"], "network", tmp_path))
    assert network.inputs.shapes == {"book": (4, 3, 4), "aux": (112,)}
    for stage in ("optimize", "train", "audit"):
        tags = MlflowClient().get_run(project.runs[stage]).data.tags
        assert tags["quantgod.upstream.snapshots"] == project.runs["snapshots"]
        assert {"quantgod.input.features", "quantgod.input.snapshots"} <= tags.keys(), stage
    inputs = {
        "labels": project.folder / "labels" / "linear" / "BTCUSDT.parquet",
        "features": project.folder / "features" / "linear" / "BTCUSDT.parquet",
        "snapshots": project.folder / "snapshots" / "linear" / "BTCUSDT",
    }
    table, blocks = learned_from(inputs)
    assert blocks is not None and blocks.book == (4, 3)
    assert (blocks.places_of(table.index) >= 0).all()


@pytest.mark.parametrize("step", [steps.register, steps.leak_audit, steps.evaluate])
def test_what_follows_the_audit_refuses_it_by_name(project: Project, step: object) -> None:
    runs = {
        steps.register: ("label", "train", "audit"),
        steps.leak_audit: ("etl", "train", "audit"),
        steps.evaluate: ("label", "audit"),
    }[step]
    given = [f"--{name}-run={project.runs[name]}" for name in runs]
    told = project.call(step, *given)
    assert told.exit_code == 1
    said = " ".join(told.output.split())
    assert "tlob looks at snapshots of the book" in said and "trained and audited only" in said
