"""Members by the real command: one is found, one goes on, and both are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Run

import steps.audit
import steps.evaluate
import steps.optimize
import steps.register
import steps.serve
import steps.train
from quantgod import auditor
from quantgod.auditor.provenance import OOF_COLUMNS, assert_provenance
from quantgod.contracts import Series
from quantgod.dataset.labels import label
from quantgod.dataset.series import series_attributes
from quantgod.dataset.table import read_table, write_table
from quantgod.evaluation.scored_rows import (
    BASELINES,
    members_in,
    probabilities_of,
    read_scored,
)
from quantgod.forecasters import base_model
from quantgod.served.features import sets
from quantgod.settings import Settings, SettingsError, load_settings, with_values
from quantgod.tracking import members as side
from quantgod.tracking.keys import KEY_TAG, path_digest
from quantgod.tracking.members import HEADERS, SEARCH_HEADERS, members_at_once
from quantgod.tracking.pipeline import key_of
from quantgod.tracking.stage import MEMBER_TAG, STAGE_TAG, stage
from quantgod.tracking.supply import supply
from quantgod.training.reports import Epoch
from quantgod.training.space import check_studies
from steps.options import values_from
from tests.stores import fresh_store
from tests.synthetic import synthetic_bars

TINY = Path("tests/end_to_end/tiny.yaml").resolve()
MEMBERS = {
    "short": {"window": {"length": 60}},
    "long": {"train": {"epochs": 2}, "model": {"params": {"tcn_channels": 2, "lstm_hidden": 2}}},
}
SPACE = "optimize.space={tcn_channels: [2], lstm_hidden: [2], window_length: [60]}"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A settings file with two members, and labels that lie where it says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri()
    names = ("archives", "bars", "labels", "features", "work")
    folders = {name: str(tmp_path / name) for name in names}
    store = {"uri": fresh_store(tmp_path), "artifacts": str(tmp_path / "artifacts")}
    path = tmp_path / "members.yaml"
    own = {"data": folders, "tracking": {**store, "outbox": str(tmp_path / "outbox")}}
    text = {"inherits": str(TINY), "members": MEMBERS, **own}
    path.write_text(yaml.safe_dump(text, sort_keys=False))
    settings = load_settings(path)
    bars = synthetic_bars(1_800, seed=3, signal=0.7)
    table = label(bars, settings.label, settings.etl.max_bridge_minutes)
    write_table(settings.data.own_labels, table, Series("BTCUSDT", "linear"))
    yield path
    mlflow.set_tracking_uri(before)


def train(config: Path, *arguments: str) -> str:
    given = ["--config", str(config), *arguments]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(steps.train.main, given)
    assert done.exit_code == 0, done.output
    return done.output


@contextmanager
def stopped_after_an_epoch() -> Iterator[list[Epoch]]:
    """As Ctrl-C would: checkpoints are kept."""
    heard: list[Epoch] = []
    whole = base_model.fit_network

    def until_the_first(*args: object, **kwargs: object) -> object:
        def on_epoch(epoch: Epoch) -> None:
            heard.append(epoch)
            if len(heard) == 2:
                raise KeyboardInterrupt

        return whole(*args, **{**kwargs, "on_epoch": on_epoch})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_model, "fit_network", until_the_first)
        yield heard


def newest(stage: str) -> list[Run]:
    experiments = [one.experiment_id for one in MlflowClient().search_experiments()]
    return MlflowClient().search_runs(experiments, f"tags.`{STAGE_TAG}` = '{stage}'")


@pytest.mark.long
def test_a_member_of_features_learns_from_them_and_one_of_bars_on_a_cluster_does_not(
    config: Path, scheduler: str
) -> None:
    own = yaml.safe_load(config.read_text())
    wide = {"model": {"name": "linear", "params": {}}, "window": {"length": 60}}
    config.write_text(yaml.safe_dump({**own, "members": {**MEMBERS, "wide": wide}}))
    settings = load_settings(config)
    index = read_table(settings.data.own_labels).index
    drawn = np.random.default_rng(1).normal(size=(len(index), len(sets.NAMES)))
    drawn[:479] = np.nan
    features = pd.DataFrame(drawn, index, list(sets.NAMES))
    features.attrs = series_attributes(Series("BTCUSDT", "linear"))
    settings.data.own_features.parent.mkdir(parents=True)
    features.to_parquet(settings.data.own_features)
    train(config, "--member", "short", "--scheduler", scheduler)
    train(config, "--member", "wide")
    (of_features, of_bars) = newest("train")
    read = [run.data.tags.get("quantgod.input.features") for run in (of_features, of_bars)]
    assert read == [path_digest(settings.data.own_features), None]
    assert of_features.data.params["model.name"] == "linear"
    short = load_settings(config, None, "short")
    key = key_of(MlflowClient(), "train", short, {})
    assert of_bars.data.tags[KEY_TAG] == key, "where it was trained makes no other result"
    assert {"validation_loss", "fold_1_score", "fold_2_score"} <= of_bars.data.metrics.keys()


@pytest.mark.long
def test_a_killed_member_goes_on_a_trained_one_is_taken_and_both_are_compared(
    config: Path,
) -> None:
    train(config, "--member", "short")
    with stopped_after_an_epoch() as heard:
        given = ["--config", str(config), "--member", "long"]
        stopped = CliRunner().invoke(steps.train.main, given)
    assert stopped.exit_code == 130 and "goes on from the last one" in stopped.output

    told = train(config)
    (parent,) = newest("members")
    made = mlflow.artifacts.load_dict(f"runs:/{parent.info.run_id}/members.json")
    runs = {name: MlflowClient().get_run(made[name]) for name in MEMBERS}
    assert f"short: unchanged since run {made['short']}, skipped" in told
    assert "long: train: validation macro-F1" in told, "each line says whose it is"
    assert told.index("short: reads what it learns from") < told.index("short: unchanged since")
    tags = runs["long"].data.tags
    assert (tags[MEMBER_TAG], tags[STAGE_TAG]) == ("long", "train")
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    for name, run in runs.items():
        own = load_settings(config, None, name)
        assert run.data.tags[KEY_TAG] == key_of(MlflowClient(), "train", own, {})
        scores = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/validation_scores.json")
        assert scores.keys() == {"base", *BASELINES}
        assert run.data.metrics["validation_macro_f1"] == pytest.approx(scores["base"]["macro_f1"])
        assert f"validation_{name}_macro_f1" in parent.data.metrics
    history = mlflow.artifacts.load_dict(f"runs:/{runs['long'].info.run_id}/history.json")
    assert history[0]["seconds"] == heard[0].seconds, "it went on, and did not begin anew"

    table = mlflow.load_table("members_table.json", run_ids=[parent.info.run_id])
    assert list(table.columns) == list(HEADERS)
    assert list(table["member"]) == 2 * [*MEMBERS, *BASELINES]
    assert list(table["on"].unique()) == ["out of fold", "of the validation part"]
    assert list(table["window"][:3]) == ["60", "120", "-"]
    images = MlflowClient().list_artifacts(parent.info.run_id, "figures")
    names = ["figures/members.png", "figures/members_validation.png"]
    assert [one.path for one in images] == names

    assert train(config).count("unchanged since run") == 2 and len(newest("train")) == 3
    its_rows_are_beside_the_baselines(runs["long"], parent, table)
    its_audit_takes_every_fold(config, runs["long"])


def its_rows_are_beside_the_baselines(run: Run, parent: Run, table: pd.DataFrame) -> None:
    rows, scores = out_of_fold(run), of_run(run, "out_of_fold_scores.json")
    assert_provenance(rows[list(OOF_COLUMNS)])
    assert scores.keys() == {"base", *BASELINES}
    for name, score in scores.items():
        right = (rows[f"{name}_class"] == rows["target"]).mean()
        assert score["accuracy"] == pytest.approx(right)
    assert run.data.metrics["out_of_fold_macro_f1"] == pytest.approx(scores["base"]["macro_f1"])
    assert parent.data.metrics["out_of_fold_long_macro_f1"] == pytest.approx(
        scores["base"]["macro_f1"]
    ), "both members forecast the same minutes"
    shares = rows.groupby("fold")[["majority_sell", "majority_neutral", "majority_buy"]]
    assert (shares.nunique() == 1).all(axis=None), "each fold's baseline has learned once"
    assert len(shares.first().drop_duplicates()) > 1, "and from rows of its own"
    assert table["macro_f1"][1].startswith(f"{scores['base']['macro_f1']:.3f}")


def its_audit_takes_every_fold(config: Path, run: Run) -> None:
    """With the same bits, and its curves."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a fold is trained twice")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auditor.out_of_fold, "fit_network", refuse)
        given = ["--config", str(config), "--member", "long"]
        audited = CliRunner().invoke(steps.audit.main, given)
    assert audited.exit_code == 0, audited.output
    (audit,) = newest("audit")
    assert audit.data.tags["quantgod.upstream.train"] == run.info.run_id
    assert f"2 of 2 folds are those of train run {run.info.run_id}" in audited.output
    assert [fold["reused"] for fold in of_run(audit, "folds.json")] == [True] * 2
    mine, its = out_of_fold(run)[list(OOF_COLUMNS)], out_of_fold(audit)[list(OOF_COLUMNS)]
    pd.testing.assert_frame_equal(its, mine, check_exact=True)
    for name in ("fold_1_score", "fold_2_validation_loss"):
        assert audit.data.metrics[name] == run.data.metrics[name]
    assert of_run(audit, "fold_epochs.json") == of_run(run, "fold_epochs.json")


def of_run(run: Run, path: str) -> Any:
    return mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{path}")


def out_of_fold(run: Run) -> pd.DataFrame:
    path = f"runs:/{run.info.run_id}/out_of_fold/rows.parquet"
    return pd.read_parquet(mlflow.artifacts.download_artifacts(path))


@pytest.mark.long
def test_an_ensemble_is_audited_registered_and_scored_of_its_trained_members(
    config: Path,
) -> None:
    """No network is trained again, and a version is scored as the run's own networks are."""
    own, name = yaml.safe_load(config.read_text()), "both"
    ensemble = {"ensemble": {"strategy": "hedge"}, "evaluate": {"stride": 4}}
    config.write_text(yaml.safe_dump({**own, **ensemble, "registry": {"name": name}}))
    train(config)
    (parent,) = newest("members")
    for command in (steps.audit, steps.register, steps.evaluate):
        given = ["--config", str(config)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(auditor.out_of_fold, "fit_network", None)
            done = CliRunner().invoke(command.main, given)
        assert done.exit_code == 0, done.output
    (audit,), (evaluation,) = newest("audit"), newest("evaluate")
    assert audit.data.tags["quantgod.upstream.members"] == parent.info.run_id
    weights = of_run(audit, "weights.json")
    assert sorted(weights) == sorted(MEMBERS) and len(set(weights.values())) == 2
    of_version = of_run(evaluation, "evaluation.json")
    members = of_version["ensemble"]["members"]
    assert {one: members[one]["window"] for one in members} == {"short": 60, "long": 120}
    card = mlflow.artifacts.load_text(f"runs:/{evaluation.info.run_id}/report/card.md")
    assert "## The ensemble" in card and "Combined by `hedge`" in card
    given = ["--config", str(config), "--audit-run", audit.info.run_id]
    assert CliRunner().invoke(steps.evaluate.main, given).exit_code == 0
    (as_trained,) = (run for run in newest("evaluate") if run.info.run_id != evaluation.info.run_id)
    served, trained = (scored(run) for run in (evaluation, as_trained))
    assert members_in(served) == members_in(trained)
    assert sorted(members_in(served)) == sorted(weights)
    for one in (*weights, "base", "auditor"):
        said = [probabilities_of(rows, one) for rows in (served, trained)]
        np.testing.assert_allclose(*said, atol=1e-5)


def scored(run: Run) -> pd.DataFrame:
    place = f"runs:/{run.info.run_id}/test/rows.parquet"
    return read_scored(Path(mlflow.artifacts.download_artifacts(place)).parent)


def test_a_stage_of_one_network_asks_which_of_several(config: Path) -> None:
    asked = CliRunner().invoke(steps.audit.main, ["--config", str(config)])
    assert asked.exit_code == 2
    assert "members.yaml has members: give one of short, long as --member" in asked.output
    other = CliRunner().invoke(steps.audit.main, ["--config", str(config), "--member", "tall"])
    assert other.exit_code == 2
    assert "no member tall (its members: short, long)" in other.output
    search = CliRunner().invoke(steps.train.main, ["--config", str(config), "--optimize-run", "x"])
    assert search.exit_code == 2 and "a search is of one member" in search.output


def test_members_that_share_no_minute_are_refused_before_any_is_trained(config: Path) -> None:
    own = yaml.safe_load(config.read_text())
    strides = {"short": 19, "long": 29}
    members = {
        name: {**MEMBERS[name], "window": {"length": 60, "stride": of}}
        for name, of in strides.items()
    }
    config.write_text(yaml.safe_dump({**own, "members": members}, sort_keys=False))
    done = CliRunner().invoke(steps.train.main, ["--config", str(config)])
    assert done.exit_code == 1
    assert "short, long forecast no minute of the validation part in common" in done.output
    assert newest("train") == []
    members["long"]["window"] = {"length": 1_700}
    config.write_text(yaml.safe_dump({**own, "members": members}, sort_keys=False))
    few = CliRunner().invoke(steps.train.main, ["--config", str(config)])
    assert few.exit_code == 1 and "TooFewRowsError: member long: " in few.output
    assert newest("train") == []


@pytest.mark.long
def test_a_search_of_all_members_is_one_of_each_that_train_takes(config: Path) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(
        steps.optimize.main, ["--config", str(config), "--trials", "1", "--set", SPACE]
    )
    assert done.exit_code == 0, done.output
    (parent,) = newest("searches")
    made = of_run(parent, "searches.json")
    assert made.keys() == MEMBERS.keys() and len(newest("optimize")) == 2
    table = mlflow.load_table("searches_table.json", run_ids=[parent.info.run_id])
    assert list(table.columns) == list(SEARCH_HEADERS)
    assert list(table["member"]) == list(MEMBERS)
    given = {"optimize.trials": 1} | values_from((SPACE,), {})
    for place, name in enumerate(MEMBERS):
        run = MlflowClient().get_run(made[name])
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        best = run.data.metrics["best_macro_f1"]
        assert float(table["macro_f1"][place]) == pytest.approx(best, abs=1e-3)
        assert f"{name}_best_macro_f1" in parent.data.metrics
        own = load_settings(config, given, name)
        with stage("train", own, {}, supply("train", own, config)) as trained:
            assert trained.upstream["optimize"] == made[name]
            trained.output()
    said: list[str] = []
    members = {name: load_settings(config, given, name) for name in MEMBERS}
    with stage("members", load_settings(config, given), {}) as run:
        side._jobs("train", run, members, config, said.append)
        run.output()
    taken = [f"{name}: optimize: what run {made[name]} has found is taken" for name in MEMBERS]
    found = [line for line in said if "labels at" not in line]
    assert found == taken and len(said) == 2 * len(taken), "each line says whose it is"


def test_members_do_not_share_a_study_in_a_database() -> None:
    one = load_settings(TINY)
    check_studies({"first": one, "second": one})  # each has a journal of its own
    shared = with_values(one, {"optimize.storage": "sqlite:///studies.db"})
    with pytest.raises(SettingsError, match=r"first and second share the study .*optimize\.study"):
        check_studies({"first": shared, "second": shared})
    check_studies({"first": shared, "second": with_values(shared, {"optimize.study": "own"})})


def test_serve_names_the_models_of_members(config: Path) -> None:
    done = CliRunner().invoke(steps.serve.main, ["--config", str(config)])
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "quantgod-demo-short@Production, quantgod-demo-long@Production" in said


def with_threads(*threads: int) -> list[Settings]:
    shipped = Path("conf/demo.yaml")
    return [load_settings(shipped, {"train.threads": count}) for count in threads]


@pytest.mark.parametrize(
    ("asked", "cores", "threads", "at_once"),
    [
        (0, 8, (1, 1), 8),
        (0, 8, (1, 3), 2),
        (0, 8, (1, 0), 1),
        (0, 2, (4,), 1),
        (0, 2, (1, 1), 2),
        (0, 2, (1, 1, 1), 3),
        (0, 2, (1, 1, 1, 1, 1), 3),
        (0, 1, (1, 1, 1), 1),
        (5, 2, (0, 0), 5),
    ],
)
def test_as_many_train_at_a_time_as_their_threads_leave_cores_for(
    asked: int, cores: int, threads: tuple[int, ...], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side.joblib, "cpu_count", lambda: cores)
    members = {str(place): own for place, own in enumerate(with_threads(*threads))}
    assert members_at_once(asked, members) == at_once
    away = {"train.scheduler": "tcp://127.0.0.1:8786"}
    assert members_at_once(
        asked, {name: with_values(own, away) for name, own in members.items()}
    ) == (asked or len(members))
