"""Projects that were moved or copied, and stores that two processes make at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from quantgod.settings import Settings, load_settings
from quantgod.tracking import keys, stage, store
from quantgod.tracking.relocation import MovedProjectError
from steps import relocate
from tests.stores import fresh_store

SIMULATE = {"simulate.days": 1, "tracking.flush_seconds": 0.05}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's folder whose store is at its place."""
    folder = tmp_path / "before"
    folder.mkdir()
    uri = mlflow.get_tracking_uri()
    fresh_store(folder)
    live_in(folder, monkeypatch)
    yield folder
    mlflow.set_tracking_uri(uri)


def live_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store, keys, stage):
        monkeypatch.setattr(module, "PROJECT", folder)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):  # MLflow leaves them behind
        monkeypatch.delenv(name, raising=False)


def settings_in(folder: Path) -> Settings:
    data = {f"data.{name}": str(folder / name) for name in ("archives", "bars", "labels", "work")}
    return load_settings(Path("conf/demo.yaml"), SIMULATE | data)


def work(folder: Path) -> str:
    settings = settings_in(folder)
    with stage.stage("simulate", settings) as run:
        settings.data.archives.mkdir(exist_ok=True)
        (settings.data.archives / "day.zip").write_bytes(b"a day")
        run.output(settings.data.archives)
    return run.run_id


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_project_elsewhere_is_refused_until_it_is_relocated(
    how: object, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = work(project)
    place = tmp_path / "sub folder" / "after"
    place.parent.mkdir()
    how(str(project), str(place))  # type: ignore[operator]
    live_in(place, monkeypatch)
    with pytest.raises(MovedProjectError, match=r"steps\.relocate") as refused:
        work(place)
    assert str(place) in str(refused.value)
    assert str(project / "mlruns") in str(refused.value)
    shutil.rmtree(project, ignore_errors=True)

    ended = CliRunner().invoke(relocate.main, [])
    assert ended.exit_code == 0, ended.output
    assert "1 of experiments, 1 of runs" in " ".join(ended.output.split())
    assert keys.output_of(made, "path")["path"] == str(place / "archives")
    artifacts = MlflowClient().get_run(work(place)).info.artifact_uri
    assert Path(artifacts).is_relative_to(place)
    assert not project.exists()
    assert "nothing to do" in CliRunner().invoke(relocate.main, []).output


def test_a_project_whose_name_begins_with_that_of_another_is_not_taken_for_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(project)
    longer = tmp_path / "before-2"
    shutil.move(project, longer)
    live_in(longer, monkeypatch)
    for _ in range(2):
        assert CliRunner().invoke(relocate.main, ["--from", str(project)]).exit_code == 0
    assert Path(MlflowClient().get_run(work(longer)).info.artifact_uri).is_relative_to(longer)


def test_an_experiment_that_keeps_its_artifacts_elsewhere_on_purpose_is_left_alone(
    project: Path, tmp_path: Path
) -> None:
    tracking = settings_in(project).tracking
    store.connect(tracking.model_copy(update={"artifacts": tmp_path / "large disk"}))
    store.connect(tracking.model_copy(update={"artifacts": tmp_path / "large disk"}))
    with pytest.raises(MovedProjectError, match=r"set tracking\.artifacts"):
        store.connect(tracking)


@pytest.mark.long
def test_a_first_command_that_is_cut_short_leaves_no_half_made_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = mlflow.get_tracking_uri()
    live_in(tmp_path, monkeypatch)
    own = settings_in(tmp_path).tracking

    def cut_short(*given: str) -> MlflowClient:
        for one in given:
            Path(one.removeprefix("sqlite:///")).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "MlflowClient", cut_short)
        with pytest.raises(KeyboardInterrupt):
            store.connect(own)
    assert [one.name for one in tmp_path.iterdir()] == ["mlflow.db.lock"]
    live_in(tmp_path, monkeypatch)
    assert store.connect(own).search_experiments()
    mlflow.set_tracking_uri(uri)


@pytest.mark.long
def test_two_first_commands_at_once_make_one_store(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from quantgod.settings import load_settings\n"
        "from quantgod.tracking import store\n"
        "store.PROJECT = Path(sys.argv[1])\n"
        "store.connect(load_settings(Path('conf/demo.yaml')).tracking)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert (tmp_path / "mlflow.db").is_file()
