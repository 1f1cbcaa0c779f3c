from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient

from quantgod.files import tree_digest
from quantgod.settings import Settings, load_settings
from quantgod.tracking import keys
from quantgod.tracking.children import child_run
from quantgod.tracking.equal_runs import EqualRunError
from quantgod.tracking.keys import (
    KEY_TAG,
    SECTIONS,
    NoOutputError,
    code_digest,
    finished_run,
    stage_key,
    stage_settings,
    upstream_keys,
)
from quantgod.tracking.orphans import PROCESS_TAG, process_tag
from quantgod.tracking.stage import (
    ERROR_TAG,
    HEADLINE_TAG,
    NOTE_TAG,
    MissingInput,
    input_digests,
    input_paths,
    logged_params,
    run_name,
    stage,
)
from quantgod.tracking.store import family

DAY = "2024-01-01_BTCUSDT_ob500.data.zip"

SLEEPER = """
import sys, time
from pathlib import Path
from quantgod.settings import load_settings
from quantgod.tracking.stage import stage
settings = load_settings(Path(sys.argv[1]))
with stage("simulate", settings) as run:
    print(run.run_id, flush=True)
    time.sleep(60)
"""


def simulate(settings: Settings) -> str:
    with stage("simulate", settings) as run:
        settings.data.archives.mkdir(exist_ok=True)
        (settings.data.archives / DAY).write_bytes(b"a day")
        run.metrics.log({"archives": 1.0}, step=3)
        run.figure("empty", Figure())
        run.json("numbers", {"one": 1})
        run.output(settings.data.archives)
        run.headline("1 day")
    return run.run_id


def labelled(settings: Settings) -> str:
    """The run that made a file which stands for labels."""
    settings.data.own_bars.mkdir(parents=True, exist_ok=True)
    with stage("label", settings) as run:
        settings.data.own_labels.parent.mkdir(parents=True, exist_ok=True)
        settings.data.own_labels.write_bytes(b"labels")
        run.output(settings.data.own_labels)
    return run.run_id


def test_a_stage_says_all_that_it_did(settings: Settings) -> None:
    run_id = simulate(settings)
    client = MlflowClient()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    day = dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC).date()
    assert run.info.run_name == f"simulate BTCUSDT {day}"
    assert run.data.params["simulate.days"] == str(settings.simulate.days)
    assert "train.epochs" not in run.data.params
    assert run.data.tags[HEADLINE_TAG] == run.data.tags[NOTE_TAG] == "1 day"
    assert run.data.tags["quantgod.settings"] == settings.digest()
    assert run.data.tags["quantgod.code"] == code_digest()
    assert run.data.params == logged_params("simulate", settings)
    assert [(m.value, m.step) for m in client.get_metric_history(run_id, "archives")] == [(1.0, 3)]
    assert {f.path for f in client.list_artifacts(run_id)} >= {"figures", "numbers.json"}
    assert not list(settings.tracking.outbox.iterdir())


def test_code_that_changes_while_a_process_runs_is_other_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PROJECT", tmp_path)
    source = tmp_path / "quantgod" / "room" / "module.py"
    source.parent.mkdir(parents=True)
    source.write_text("a = 1")
    before = code_digest()
    assert before == code_digest() == tree_digest(tmp_path, [source])
    source.write_text("a = 10")
    changed = code_digest()
    assert before != changed == tree_digest(tmp_path, [source])
    source.rename(source.with_name("other.py"))
    assert code_digest() not in (before, changed)


def test_a_stage_logs_what_it_reads_as_a_dataset(settings: Settings) -> None:
    made = simulate(settings)
    with stage("etl", settings, {"simulate": made}) as run:
        assert run.inputs["archives"] == settings.data.archives.resolve()
    entry = MlflowClient().get_run(run.run_id)
    assert [item.dataset.name for item in entry.inputs.dataset_inputs] == ["archives"]
    assert entry.data.tags["quantgod.upstream.simulate"] == made
    assert entry.data.tags["quantgod.input.archives"] == digest_of_archives(settings)


def digest_of_archives(settings: Settings) -> str:
    return input_digests({"archives": settings.data.archives}, settings)["archives"]


def test_of_archives_only_those_of_the_series_count_and_links_stand_for_their_targets(
    settings: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere" / DAY
    target.parent.mkdir()
    target.write_bytes(b"a day")
    settings.data.archives.mkdir()
    (settings.data.archives / "linear").symlink_to(target.parent)
    before = digest_of_archives(settings)
    for folder, name in (("spot", DAY), ("linear", DAY.replace("BTC", "ETH")), ("", "notes.txt")):
        (settings.data.archives / folder).mkdir(exist_ok=True)
        (settings.data.archives / folder / name).write_bytes(b"not of this series")
    assert digest_of_archives(settings) == before
    target.write_bytes(b"another day")
    assert digest_of_archives(settings) != before


def test_a_password_in_a_setting_is_logged_nowhere(settings: Settings) -> None:
    url = "postgresql://h/db?user=me&password=pa55"
    secret = settings.optimize.model_copy(update={"storage": url})
    settings.data.own_labels.parent.mkdir(parents=True)
    settings.data.own_labels.write_bytes(b"labels")
    refused = pytest.raises(ConnectionError)
    with refused, stage("optimize", settings.model_copy(update={"optimize": secret})) as run:
        raise ConnectionError(f"no answer from {url}")
    entry = MlflowClient().get_run(run.run_id)
    assert entry.data.params["optimize.storage"] == "postgresql://h/db?user=me&password=***"
    assert "no answer from postgresql://h/db" in entry.data.tags[ERROR_TAG]
    trace = mlflow.artifacts.load_text(f"runs:/{run.run_id}/error.txt")
    assert "ConnectionError" in trace
    assert "pa55" not in f"{entry.data.params}{entry.data.tags}{trace}"


def test_missing_data_is_named_with_the_stage_that_makes_it(settings: Settings) -> None:
    needed = pytest.raises(MissingInput, match=r"train needs labels at .*BTCUSDT.parquet; `label`")
    with needed, stage("train", settings):
        pass


def test_prices_that_are_not_there_are_named_with_their_setting(settings: Settings) -> None:
    absent = settings.simulate.model_copy(update={"prices": Path("nowhere.csv")})
    settings = settings.model_copy(update={"simulate": absent})
    words = f"simulate.prices: .* expected at {Path.cwd()}/nowhere.csv"
    with pytest.raises(ValueError, match=words), stage("simulate", settings):
        pass


def test_a_run_that_cannot_give_what_is_asked_of_it_is_named(settings: Settings) -> None:
    with stage("promote", settings) as other:
        other.output(version="1")
    with pytest.raises(NoOutputError, match=f"run {other.run_id} gives no path"):
        input_paths("etl", settings, {"simulate": other.run_id})
    with pytest.raises(NoOutputError, match="run deadbeef has nothing to give"):
        input_paths("etl", settings, {"simulate": "deadbeef"})
    told = f"run {other.run_id} is of promote; one of simulate was expected"
    with (
        pytest.raises(NoOutputError, match=told),
        stage("etl", settings, {"simulate": other.run_id}),
    ):
        pytest.fail("it must not begin")


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no such book"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_stage_that_breaks_says_why(
    settings: Settings, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), stage("simulate", settings) as run:
        raise error
    ended = MlflowClient().get_run(run.run_id)
    assert ended.info.status == status
    if status == "FAILED":
        assert ended.data.tags[ERROR_TAG] == "ValueError: no such book"
        assert "error.txt" in {f.path for f in MlflowClient().list_artifacts(run.run_id)}


def test_an_equal_finished_run_is_found_until_something_changes(settings: Settings) -> None:
    run_id = simulate(settings)
    client = MlflowClient()
    key = client.get_run(run_id).data.tags[KEY_TAG]
    assert key == stage_key("simulate", settings, {}, {})

    def found(changed: Settings) -> bool:
        return finished_run(client, stage_key("simulate", changed, {}, {})) is not None

    assert found(settings)
    train = settings.train.model_copy(update={"epochs": 99})
    assert found(settings.model_copy(update={"train": train})), "not what simulate reads"
    seed = settings.simulate.model_copy(update={"seed": 99})
    assert not found(settings.model_copy(update={"simulate": seed}))
    (settings.data.archives / DAY).write_bytes(b"another day")
    assert not found(settings), "its data was changed behind its back"


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ("split.folds", {"audit", "register", "leak_audit"}),
        ("audit.epochs", {"audit", "register"}),
        ("window.stride", {"train", "register"}),
        ("train.epochs", {"train", "register", "forecast"}),
        ("train.seed", {"optimize", "train", "audit", "register", "leak_audit", "forecast"}),
        ("optimize.trials", {"optimize", "register"}),
        ("registry.golden_rows", {"register", "gates", "promote", "live"}),
        ("evaluate.stride", {"register", "evaluate", "gates"}),
        ("backtest.latency_ms", {"register", "backtest", "compare"}),
        ("gates.ece_at_most", {"register", "evaluate", "gates", "promote"}),
        ("etl.workers", {"live", "collect"}),
    ],
)
def test_a_changed_setting_makes_anew_only_what_reads_it(
    settings: Settings, changed: str, anew: set[str]
) -> None:
    section, name = changed.split(".")
    other = getattr(settings, section)
    other = other.model_copy(update={name: getattr(other, name) + 1})
    other = settings.model_copy(update={section: other})
    stages = set(SECTIONS) - {
        "main", "change", "power", "power_curve", "members", "searches", "zoo_power",
        "forecast_power",
    }  # fmt: skip
    assert anew == {
        stage for stage in stages if stage_settings(stage, settings) != stage_settings(stage, other)
    }


@pytest.mark.long
def test_a_new_search_or_version_makes_all_that_rests_on_it_anew(settings: Settings) -> None:
    def runs(name: str) -> list[str]:
        made = []
        for _ in range(2):
            with stage(name, settings, {}) as run:
                made.append(run.run_id)
        return made

    settings.data.own_labels.parent.mkdir(parents=True)
    settings.data.own_labels.write_bytes(b"labels")
    for name, same in (("optimize", False), ("register", False), ("train", True)):
        keys = [upstream_keys(MlflowClient(), "audit", {name: run}) for run in runs(name)]
        assert (keys[0] == keys[1]) == same, name


def test_data_that_is_the_same_is_whatever_run_made_it_but_a_version_names_the_run(
    settings: Settings,
) -> None:
    run = simulate(settings)
    assert upstream_keys(MlflowClient(), "etl", {"simulate": run}) == {}
    key = MlflowClient().get_run(run).data.tags[KEY_TAG]
    assert upstream_keys(MlflowClient(), "register", {"simulate": run}) == {"simulate": key}


def test_a_run_whose_artifacts_were_deleted_counts_no_longer(settings: Settings) -> None:
    run_id = simulate(settings)
    client = MlflowClient()
    run = client.get_run(run_id)
    assert finished_run(client, run.data.tags[KEY_TAG]) is not None
    shutil.rmtree(run.info.artifact_uri)
    assert finished_run(client, run.data.tags[KEY_TAG]) is None


def test_a_promotion_counts_while_its_alias_stands(settings: Settings) -> None:
    with stage("promote", settings) as run:
        run.output(name="quantgod", alias="Production", version="1")
    client = MlflowClient()
    assert finished_run(client, run.key) is None, "there is no such version"
    client.create_registered_model("quantgod")
    for _ in range(2):
        client.create_model_version("quantgod", source=str(settings.data.work))
    assert finished_run(client, run.key) is None, "the alias points nowhere"
    client.set_registered_model_alias("quantgod", "Production", "1")
    assert finished_run(client, run.key) is not None
    client.set_registered_model_alias("quantgod", "Production", "2")
    assert finished_run(client, run.key) is None, "someone has promoted another"


def test_judged_gates_count_while_the_champion_they_were_judged_against_is_in_place(
    settings: Settings,
) -> None:
    with stage("promote", settings) as run:
        run.output(name="quantgod", alias="Production", version="2", champion="none", failed="")
    client = MlflowClient()
    client.create_registered_model("quantgod")
    for _ in range(3):
        client.create_model_version("quantgod", source=str(settings.data.work))
    assert finished_run(client, run.key) is not None, "no champion then, none now"
    client.set_registered_model_alias("quantgod", "Production", "2")
    assert finished_run(client, run.key) is not None, "it is the champion itself"
    client.set_registered_model_alias("quantgod", "Production", "3")
    assert finished_run(client, run.key) is None, "another has to be beaten now"


def test_a_registration_counts_while_its_version_stands(settings: Settings) -> None:
    with stage("promote", settings) as run:
        run.output(name="quantgod", version="1")
    client = MlflowClient()
    client.create_registered_model("quantgod")
    client.create_model_version("quantgod", source=str(settings.data.work))
    assert finished_run(client, run.key) is not None
    client.delete_model_version("quantgod", "1")
    assert finished_run(client, run.key) is None


@pytest.mark.long
def test_a_killed_run_is_closed_at_the_next_start_and_a_living_one_is_left(
    settings: Settings, tmp_path: Path
) -> None:
    simulate(settings)  # makes the store before two processes want to
    config = tmp_path / "settings.yaml"
    config.write_text(json.dumps(settings.model_dump(mode="json")))
    assert load_settings(config) == settings
    command, client = [sys.executable, "-c", SLEEPER, str(config)], MlflowClient()

    def status(run: str) -> str:
        return client.get_run(run).info.status

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sleeper:
        try:
            run = sleeper.stdout.readline().strip()
            simulate(settings)
            assert status(run) == "RUNNING"
        finally:
            os.kill(sleeper.pid, signal.SIGKILL)
    own = client.create_run(
        client.get_run(run).info.experiment_id, tags={PROCESS_TAG: process_tag()}
    )
    simulate(settings)
    assert (status(run), status(own.info.run_id)) == ("KILLED", "RUNNING")


@pytest.mark.parametrize("name", ["work", "bars", "outbox"])
def test_a_file_in_the_place_of_a_folder_is_told_before_any_work(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "a file"
    file.touch()
    section = "tracking" if name == "outbox" else "data"
    changed = getattr(settings, section).model_copy(update={name: file})
    words = f"{section}.{name}: a folder was expected at {file}, there is a file"
    with pytest.raises(ValueError, match=words):
        simulate(settings.model_copy(update={section: changed}))
    assert not settings.data.archives.exists()


def test_a_second_equal_training_is_told_of_the_first_and_ends(settings: Settings) -> None:
    def train(own: Settings = settings) -> str:
        with stage("train", own, made) as run:
            pass
        return run.run_id

    made = {"label": labelled(settings)}
    with ThreadPoolExecutor(1) as beside:  # MLflow's active run is a thread's own
        with stage("train", settings, made) as first:
            words = rf"by run {first.run_id} since \d{{4}}-\d\d-\d\d .* UTC: .*result is taken"
            with pytest.raises(EqualRunError, match=words):
                beside.submit(train).result()
            assert first.workplace().is_dir()
            other = settings.train.model_copy(update={"seed": 9})
            assert beside.submit(train, settings.model_copy(update={"train": other})).result()
        assert MlflowClient().get_run(beside.submit(train).result()).info.status == "FINISHED"


def test_trials_and_sessions_stand_beside_the_runs_that_are_compared(settings: Settings) -> None:
    made = {"label": labelled(settings)}
    with stage("optimize", settings, made) as parent, child_run(parent, "trial 0", {"rate": 0.1}):
        pass
    with stage("live", settings) as session:
        pass
    client = MlflowClient()
    (compared, *others) = family(client, client.get_run(parent.run_id).info.experiment_id)
    names = {run.info.run_name.split()[0] for run in client.search_runs([compared])}
    assert names == {"label", "optimize"}
    assert [[run.info.run_name for run in client.search_runs([one])] for one in others] == [
        ["trial 0"],
        [run_name("live", settings)],
    ]
    (trial,) = client.search_runs([others[0]])
    assert trial.data.tags["mlflow.parentRunId"] == parent.run_id
    assert session.run_id
