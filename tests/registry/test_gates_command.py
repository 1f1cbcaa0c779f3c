"""`steps.gates` from end to end: evidence in a store, verdicts on the version, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import steps.gates
from quantgod.dataset.labels import label
from quantgod.evaluation.evidence import read_evidence
from quantgod.evaluation.scored_rows import COLUMNS
from quantgod.files import file_digest
from quantgod.gates import GATES_FILE, GateReport, bounds_digest
from quantgod.registry.registered import known_version
from quantgod.registry.semantic_version import PARTS_TAG
from quantgod.registry.verdict import GatesError, check_report, report_of
from quantgod.settings import load_settings
from quantgod.tracking.keys import output_of
from tests.gates.records import Evidence, around
from tests.registry.lineages import Lineage
from tests.registry.shelves import ALIAS, NAME, Shelf
from tests.synthetic import synthetic_bars

MINUTES, FIRST = 600, 400


@pytest.fixture
def lineage(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lineage]:
    """Good evidence of version 5, in a store in which MLflow's own variables name nothing."""
    place = tmp_path / "mlflow"
    experiment = MlflowClient().create_experiment("judged", artifact_location=str(place))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    monkeypatch.setenv("COLUMNS", "200")
    settings = load_settings(Path("conf/demo.yaml"))
    table = label(synthetic_bars(MINUTES, seed=1), settings.label, 5)
    labels = tmp_path / "labels.parquet"
    table.to_parquet(labels)
    yield Lineage(shelf, labels, file_digest(labels), rows=scored(table)).whole()
    mlflow.end_run()


def scored(table: pd.DataFrame) -> pd.DataFrame:
    place = np.arange(FIRST, MINUTES - 60)
    rows = pd.DataFrame(1 / 3, index=range(len(place)), columns=list(COLUMNS))
    return rows.assign(
        time=table.index[place], label_end=table.index[place + 60], target=1, auditor_class=1
    )


def gates(lineage: Lineage, *arguments: str) -> Result:
    """By the version's own settings, but for where things lie."""
    folder = lineage.shelf.folder
    keys = ("live.journal", "data.work", "tracking.outbox")
    own = ";".join(f"{key}={folder / key}" for key in keys)
    return CliRunner().invoke(steps.gates.main, ["--set", own, "--name", NAME, *arguments])


def newest_run(lineage: Lineage) -> mlflow.entities.Run:
    experiments = [found.experiment_id for found in lineage.client.search_experiments()]
    order = ["attributes.start_time DESC"]
    wanted = "tags.`quantgod.stage` = 'gates'"
    return lineage.client.search_runs(experiments, wanted, order_by=order)[0]


def test_a_version_that_passes_is_told_tagged_and_may_be_promoted(
    lineage: Lineage, tmp_path: Path
) -> None:
    lineage.version()  # a newer one, of which nothing is asked
    said = gates(lineage, "--evaluate-run", lineage.runs["evaluate"])
    assert said.exit_code == 0, said.output
    assert "gates of quantgod 5" in said.output and "beats_majority_log_loss" in said.output
    found = known_version(lineage.client, NAME, lineage.number)
    assert found.tags["gates"] == "passed; simulated market"
    written = {"files_sha256", "lineage", "evaluation", "gates", "gates.report"}
    assert found.tags.keys() == written, "the run and the report tell of every gate"
    report = report_of(found)
    bounds = bounds_digest(load_settings(Path("conf/demo.yaml")).gates)
    check_report(report, found, None, bounds)
    run = newest_run(lineage)
    assert report.run_id == run.info.run_id and report.passed
    output = output_of(run.info.run_id)
    assert (output["version"], output["champion"], output["failed"]) == ("5", "none", "")
    counted = {"gates_failed": 0, "gates_passed": len(report.gates) - 2, "gates_not_judged": 0}
    assert run.data.metrics == counted
    assert run.data.tags["quantgod.upstream.evaluate"] == lineage.runs["evaluate"]
    assert run.data.tags["quantgod.headline"] == report.in_words()
    check_kept(report, tmp_path / "kept")


def check_kept(report: GateReport, folder: Path) -> None:
    """What the run has kept says the same, also to who has not this code."""
    table = mlflow.load_table("gates_table.json", run_ids=[report.run_id])
    assert list(table.columns) == ["gate", "figure", "bound", "verdict", "detail"]
    kept = Path(mlflow.artifacts.download_artifacts(run_id=report.run_id, dst_path=str(folder)))
    assert (kept / "figures" / "gates.png").stat().st_size > 10_000
    assert read_evidence(kept / GATES_FILE, GateReport) == report
    assert table["gate"].tolist() == [gate.name for gate in report.gates]


def test_a_version_that_fails_ends_with_an_error_where_strictness_was_asked_for(
    lineage: Lineage,
) -> None:
    lineage.evidence = Evidence().scored("mcc", around(-0.1)).traded(max_drawdown=0.5)
    lineage.runs["evaluate"] = lineage.evaluated()
    lineage.backtested()
    said = gates(lineage, "--strict", "true")
    assert said.exit_code == 1 and "GatesFailed: " in said.output
    assert "\nmcc: -0.100 [-0.110, -0.090], asked for > 0 (Matthews" in said.output
    run = newest_run(lineage)
    assert run.info.status == "FINISHED", "what was found is a result"
    assert output_of(run.info.run_id)["failed"] == "mcc, drawdown"
    assert run.data.tags["quantgod.headline"].endswith(
        "gates passed; failed: mcc, drawdown; simulated market"
    )
    tags = known_version(lineage.client, NAME, lineage.number).tags
    assert tags["gates"] == "failed: mcc, drawdown; simulated market"


@pytest.mark.long
def test_other_bounds_make_a_verdict_that_says_so_and_is_not_the_versions(
    lineage: Lineage,
) -> None:
    assert gates(lineage).exit_code == 0
    own = known_version(lineage.client, NAME, lineage.number).tags
    said = gates(lineage, "--set", "gates.mcc_above=0.9", "--strict")
    assert said.exit_code == 1 and "quantgod 5 keeps its own verdict" in said.output
    other = "judged by gates.mcc_above 0.9 (its own: 0.0)"
    assert f"failed: mcc; {other}" in said.output
    run = newest_run(lineage)
    assert run.data.tags["quantgod.headline"].endswith(f"{other}; simulated market")
    assert known_version(lineage.client, NAME, lineage.number).tags == own
    report = report_of(known_version(lineage.client, NAME, lineage.number), run.info.run_id)
    assert report.otherwise == ("gates.mcc_above 0.9 (its own: 0.0)",)
    lax = gates(lineage, "--set", "gates.ece_at_most=0.9")
    assert lax.exit_code == 0
    judged = known_version(lineage.client, NAME, lineage.number)
    with pytest.raises(GatesError, match="has judged it otherwise than its own settings say"):
        check_report(report_of(judged, newest_run(lineage).info.run_id), judged, None, "")


def test_settings_that_the_version_was_not_made_by_are_refused(lineage: Lineage) -> None:
    for given in (["--set", "label.horizon_minutes=59"], ["--config", "conf/full.yaml"]):
        said = gates(lineage, *given)
        assert said.exit_code == 1
        assert said.output.startswith("Error: OtherSettingsError: quantgod 5 was made with ")
        assert (
            "`python -m steps.gates --name quantgod --version 5` takes its own settings"
            in said.output
        )
        assert said.output.count("\n") == 1


@pytest.mark.long
def test_the_version_in_place_has_to_be_beaten_but_not_by_itself(lineage: Lineage) -> None:
    lineage.shelf.point(2)
    said = gates(lineage, "--version", "5")
    assert said.exit_code == 0, said.output
    output = output_of(newest_run(lineage).info.run_id)
    assert (output["champion"], output["failed"]) == ("2", "beats_champion"), "it cannot be loaded"
    assert (
        known_version(lineage.client, NAME, 5).tags["gates"]
        == "failed: beats_champion; simulated market"
    )
    for parts in ('{"interface": "a", "graph": "b"}', '{"interface": "a", "graph": "c"}'):
        lineage.client.set_model_version_tag(NAME, "2", PARTS_TAG, parts)
        lineage.client.set_model_version_tag(NAME, "5", PARTS_TAG, '{"interface":"a","graph":"b"}')
        said, is_same = gates(lineage, "--version", "5"), '"b"' in parts
        told = "beats_champion: this is the same model as the champion quantgod/2: "
        assert (told in said.output) is is_same, said.output
        output = output_of(newest_run(lineage).info.run_id)
        assert output["failed"] == ("" if is_same else "beats_champion")
    lineage.shelf.point(5)
    assert gates(lineage).exit_code == 0
    output = output_of(newest_run(lineage).info.run_id)
    assert (output["champion"], output["failed"], output["alias"]) == ("5", "", ALIAS)


def test_evidence_of_another_version_changes_no_tag(lineage: Lineage) -> None:
    other = lineage.evaluated(number=2)
    said = gates(lineage, "--version", "5", "--evaluate-run", other)
    assert said.exit_code == 1 and f"--evaluate-run {other}` makes it" in said.output
    said = gates(lineage, "--backtest-run", lineage.backtested(evaluate=other))
    assert said.exit_code == 1 and "OtherEvidenceError: quantgod 5: run" in said.output
    assert newest_run(lineage).info.status == "FAILED"
    assert "gates" not in known_version(lineage.client, NAME, lineage.number).tags


def test_labels_that_were_made_anew_since_are_refused(lineage: Lineage) -> None:
    lineage.labels.write_bytes(lineage.labels.read_bytes() + b" ")
    said = gates(lineage)
    assert said.exit_code == 1 and "OtherEvidenceError: quantgod 5 was made of" in said.output


def test_a_version_is_a_number_that_is_there_and_was_evaluated(lineage: Lineage) -> None:
    assert gates(lineage, "--version", "newest").exit_code == 2
    said = gates(lineage, "--version", "98")
    assert said.exit_code == 1 and "NoSuchVersionError: quantgod 98" in said.output
    by_default = "(by the settings of conf/demo.yaml; --config FILE takes others)"
    assert said.output.endswith(f"{by_default}\n")
    said = gates(lineage, "--version", "98", "--config", "conf/full.yaml")
    assert "NoSuchVersionError: quantgod 98" in said.output and by_default not in said.output
    said = gates(lineage, "--version", "2")
    assert "the settings that quantgod 2 was made by are not known" in said.output
    del lineage.runs["evaluate"]
    lineage.version()
    assert (
        "`python -m steps.evaluate --name quantgod --version 6` makes it" in gates(lineage).output
    )
    for version in lineage.client.search_model_versions(f"name = '{NAME}'"):
        lineage.client.delete_model_version(NAME, version.version)
    said = gates(lineage)
    assert said.exit_code == 1 and "`python -m steps.main` makes one" in said.output
