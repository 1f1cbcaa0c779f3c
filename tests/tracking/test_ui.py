"""The addresses that `make ui` prints, and what it serves."""

from __future__ import annotations

import json
import os
import sys

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import steps.ui
from quantgod.settings import Settings
from quantgod.tracking.runs_view import COLUMNS
from quantgod.tracking.stage import stage
from quantgod.tracking.summary import KEY_FIGURES
from tests.servers import free_port


def test_the_table_of_runs_shows_what_whole_runs_are_compared_by() -> None:
    assert set(COLUMNS) <= {name for names in KEY_FIGURES.values() for name in names}


def test_it_prints_where_finished_runs_and_the_model_are_shown_and_serves_the_store(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage("simulate", settings) as run:
        settings.data.archives.mkdir()
        run.output(settings.data.archives)
    served: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _program, arguments: served.append(arguments))
    tracking = settings.tracking
    told = [f"tracking.uri={tracking.uri}", f"tracking.artifacts={tracking.artifacts}"]
    given = [part for value in told for part in ("--set", value)]
    ended = CliRunner().invoke(steps.ui.main, ["--port", str(port := free_port()), *given])
    assert ended.exit_code == 0, ended.output
    number = MlflowClient().get_run(run.run_id).info.experiment_id
    assert f"http://127.0.0.1:{port}/#/experiments/{number}/runs?workflowType=" in ended.output
    assert f"http://127.0.0.1:{port}/#/models/quantgod" in ended.output
    tags = MlflowClient().get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "&viewStateShareKey=quantgod\n" in ended.output
    assert "`make ui` opens them" in tags["mlflow.note.content"]
    view = json.loads(tags["mlflow.sharedViewState.quantgod"])
    assert view["columnOrder"][2:] == view["selectedColumns"]
    assert set(view["columnOrder"]) == view["columnWidths"].keys()
    (command,) = served
    assert command[:5] == [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri"]
    assert command[5:8] == [tracking.uri, "--workers", "1"], "of one user"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
    assert CliRunner().invoke(steps.ui.main, ["--port", str(port)]).exit_code == 0
    assert served[1][5] == tracking.uri, "the variable goes before the settings"
