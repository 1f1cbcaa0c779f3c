"""`steps.promote` from end to end: what is refused, what is deployed, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import steps.promote
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.lineage import Lineage
from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
from quantgod.settings import Settings, load_settings
from tests.registry.conftest import NAME, Store

ALIAS = "Commanded"


def promote(store: Store, folder: Path, *arguments: str) -> Result:
    places = ";".join(f"{key}={folder / key}" for key in ("data.work", "tracking.outbox"))
    command = ["--set", places, "--name", NAME, "--alias", ALIAS, *arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_ID", store.experiment)
        return CliRunner().invoke(steps.promote.main, command)


@pytest.fixture
def settings(store: Store, tmp_path: Path) -> Iterator[None]:
    """The demo's, kept as version 1's own."""
    client, run = MlflowClient(), MlflowClient().create_run(store.experiment).info.run_id
    demo = load_settings(Path("conf/demo.yaml"))
    kept = keep_settings(tmp_path / SETTINGS_FILE, demo)
    tags = Lineage({"register": run}, settings=kept).tags()
    client.log_artifact(run, str(tmp_path / SETTINGS_FILE))
    for key, value in tags.items():
        client.set_model_version_tag(NAME, "1", key, value)
    yield
    for key in tags:
        client.delete_model_version_tag(NAME, "1", key)


def test_a_version_whose_settings_are_not_known_needs_force(store: Store, tmp_path: Path) -> None:
    said = promote(store, tmp_path, "--version", "1")
    assert said.exit_code == 1
    assert "settings that quantgod 1 was made by are not known" in said.output


@pytest.mark.long
def test_no_settings_force_a_promotion_and_force_is_told_and_kept(
    store: Store, settings: None, tmp_path: Path
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
