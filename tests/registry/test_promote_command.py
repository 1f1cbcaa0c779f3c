"""`steps.promote` from end to end: what is refused, what is deployed, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import steps.promote
from quantgod.registry.ledger_run import LedgerRun
from quantgod.settings import Settings
from tests.registry.conftest import NAME, Store

ALIAS = "Commanded"


def promote(store: Store, folder: Path, *arguments: str) -> Result:
    places = ";".join(f"{key}={folder / key}" for key in ("data.work", "tracking.outbox"))
    command = ["--config", "conf/demo.yaml", "--set", places, "--alias", ALIAS, *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_ID", store.experiment)
        return CliRunner().invoke(steps.promote.main, command)


def test_no_settings_force_a_promotion_and_force_is_told_and_kept(
    store: Store, tmp_path: Path
) -> None:
    assert "force" not in str(Settings.model_json_schema()).lower()
    said = promote(store, tmp_path, "--version", "1", "--reason", "a look")
    assert said.exit_code == 1 and "quantgod 1 has not been judged: run gates" in said.output
    with pytest.raises(MlflowException):
        MlflowClient().get_model_version_by_alias(NAME, ALIAS)
    said = promote(store, tmp_path, "--version", "1", "--force", "--reason", "a [dry] run")
    assert said.exit_code == 0, said.output
    line = "quantgod 1 is Commanded over no version: by force: a [dry] run; never judged"
    assert said.output.splitlines()[-1] == line
    (entry, _) = LedgerRun(MlflowClient(), NAME, ALIAS).read().entries
    assert (entry.why, entry.gates) == ("a [dry] run", None)
    said = promote(store, tmp_path, "--version", "1", "--reason", "once more")
    assert said.output.splitlines()[-1] == ("quantgod 1 is Commanded already: nothing was changed")
    runs = MlflowClient().search_runs([store.experiment], "tags.`quantgod.stage` = 'promote'")
    kept = [run.data.tags["quantgod.reason"] for run in runs]
    assert kept == ["once more", "a [dry] run", "a look"], "a reason that was given is recorded"
    mlflow.end_run()
