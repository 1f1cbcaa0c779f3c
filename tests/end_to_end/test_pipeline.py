"""From nothing to a promoted version, through `mlflow run` and a real tracking server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.label
import steps.main
from quantgod.registry.versions import load_chain
from quantgod.tracking.pipeline import CHAINED
from tests.conftest import forget_experiments
from tests.servers import tracking_server

ROOT = Path(__file__).parents[2]
TINY = "tests/end_to_end/tiny.yaml"
NAME = "quantgod-demo"
EXPERIMENT = "end to end"
STAGES = ["simulate", *CHAINED]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tracking_server(tmp_path_factory.mktemp("server")) as running:
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(running.address)
        yield running.address
        mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def given(data: Path, *overrides: str) -> str:
    places = [f"data.{name}={data / name}" for name in ("archives", "bars", "labels", "work")]
    return ";".join([*places, f"tracking.outbox={data / 'outbox'}", *overrides])


def of_a_user(server: str) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": server,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def run_main(server: str, data: Path) -> subprocess.CompletedProcess[str]:
    command = ["mlflow", "run", ".", "-e", "main", "--env-manager", "local"]
    command += ["--experiment-name", EXPERIMENT, "-P", f"config={TINY}", "-P", f"set={given(data)}"]
    environment = os.environ | of_a_user(server)
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def call(step: ModuleType, server: str, data: Path, *overrides: str) -> Result:
    """Call a step in this process, which has loaded its libraries; what it runs has its own."""
    environment = of_a_user(server) | {"MLFLOW_EXPERIMENT_NAME": EXPERIMENT}
    options = ["--config", TINY, "--set", given(data, *overrides)]
    done = CliRunner(env=environment).invoke(step.main, options)
    forget_experiments()
    return done


def newest(stage: str) -> mlflow.entities.Run:
    client = MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs(
        [experiment.experiment_id],
        f"tags.`quantgod.stage` = '{stage}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return found[0]


@pytest.mark.timeout(1800)
def test_one_command_leads_from_nothing_to_a_promoted_version(server: str, data: Path) -> None:
    labelled = call(steps.label, server, data)
    assert labelled.exit_code == 0, labelled.output
    before = {name: newest(name) for name in ("simulate", "etl", "label")}
    assert before["label"].data.tags["quantgod.upstream.etl"] == before["etl"].info.run_id
    made = {before[name].data.tags["mlflow.parentRunId"] for name in ("simulate", "etl")}
    assert made == {before["label"].info.run_id}, "a stage makes what it lacks as its children"

    first = run_main(server, data)
    assert first.returncode == 0, first.stdout + first.stderr
    parent = newest("main")
    runs = {name: newest(name) for name in STAGES}
    maker = dict.fromkeys(STAGES, parent.info.run_id)
    maker |= {"simulate": before["label"].info.run_id, "etl": before["label"].info.run_id}
    maker |= {"label": None}  # asked for itself
    for name, made_by in runs.items():
        assert made_by.info.status == "FINISHED", name
        assert len(made_by.data.metrics) <= 20, f"{name}: each is a chart"
        assert made_by.data.tags["mlflow.note.content"], f"{name} has no description"
        assert made_by.data.tags.get("mlflow.parentRunId") == maker[name], name
        assert name in first.stdout
    assert runs["audit"].data.tags["quantgod.upstream.train"] == runs["train"].info.run_id
    version = MlflowClient().get_model_version_by_alias(NAME, "Production")
    assert version.run_id == runs["register"].info.run_id
    example = json.loads((data / "work" / f"{NAME}.example.json").read_text())
    said = load_chain(NAME).predict(pd.DataFrame(**example["dataframe_split"]))
    assert np.isfinite(said.select_dtypes("number")).all(axis=None)

    assert parent.data.tags["quantgod.headline"].startswith(
        f"{NAME} 1 is Production over no version"
    ), "what came of it is said first"
    figures = parent.data.metrics
    assert (
        figures["test_auditor_macro_f1"] == runs["evaluate"].data.metrics["test_auditor_macro_f1"]
    )
    assert figures["gates_failed"] == 0
    assert all(f"[{name}]" in parent.data.tags["mlflow.note.content"] for name in STAGES)
    told = [line for line in first.stdout.splitlines() if line.startswith("train: validation")]
    assert told and f"run {runs['train'].info.run_id}" in first.stdout
    assert "/report/report.html" in first.stdout
    names = {made_by.info.run_name for made_by in runs.values()}
    assert all(re.fullmatch(r"[a-z_]+ [A-Z]+ \d{4}-\d\d-\d\d", name) for name in names)

    second = call(steps.main, server, data)
    assert second.exit_code == 0, second.output
    assert second.output.count("skipped") >= len(STAGES), "nothing changed, so nothing runs"
    assert {name: newest(name).info.run_id for name in STAGES} == {
        name: made_by.info.run_id for name, made_by in runs.items()
    }


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_failing_stage_fails_the_parent_with_its_own_words(server: str, data: Path) -> None:
    failed = call(steps.main, server, data, "optimize.space={window_length: [100000]}")
    assert failed.exit_code != 0
    words = newest("main").data.tags["quantgod.error"]
    stage = re.match(r"StageFailed: (\w+): (.+)", words)
    assert stage is not None, words
    assert newest(stage[1]).data.tags["quantgod.error"] == stage[2]
    assert stage[2] in failed.output
    assert stage[1] == "optimize"
