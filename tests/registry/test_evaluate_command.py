"""`evaluate` as a command, against a real store: a version, or a run's model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.entities import Run

import quantgod.registry.scoring
import steps.evaluate
from quantgod.dataset.labels import label
from quantgod.dataset.table import write_table
from quantgod.evaluation.evidence import EVALUATION_FILE, EvaluationResult, read_evidence
from quantgod.evaluation.metrics import KEY_SCORES
from quantgod.evaluation.scored_rows import probabilities_of, read_scored
from quantgod.files import write_json
from quantgod.registry.lineage import Lineage as Made
from quantgod.registry.lineage import lineage_of
from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
from quantgod.registry.registered import NoSuchVersionError
from quantgod.registry.subjects import ContradictionError, EvaluationRequest, evaluation_request
from quantgod.report import Report
from quantgod.settings import Settings, load_settings
from quantgod.tracking.keys import OUTPUT_FILE, NoOutputError, path_digest
from tests.registry.conftest import NAME, Parts, Store, make_store, out_of_fold_rows, tracked
from tests.registry.shelves import SERIES
from tests.synthetic import synthetic_bars

EXPERIMENT = "chain"
STRIDE = 7


@dataclass(frozen=True)
class Lineage:
    """A store with a version whose runs of label, train, audit and register are there."""

    store: Store
    folder: Path
    runs: dict[str, str]
    number: int

    def settings(self) -> dict[str, str]:
        return {
            "tracking.experiment": EXPERIMENT,
            "tracking.outbox": str(self.folder / "outbox"),
            "data.work": str(self.folder / "work"),
            "data.labels": str(self.folder / "nothing here"),
            "audit.stride": "1",
            "evaluate.stride": str(STRIDE),
            "evaluate.importance_rows": "4",
            "evaluate.importance_repeats": "1",
            "evaluate.inference_windows": "3",
        }

    def evaluate(self, *arguments: str) -> Result:
        """With a file and what it lacks."""
        given = ";".join(f"{key}={value}" for key, value in self.settings().items())
        command = ["--config", "conf/full.yaml", "--set", given, *arguments]
        return CliRunner().invoke(steps.evaluate.main, command)

    def evaluate_by_its_own(self, *arguments: str) -> Result:
        """With no more than where the store is: the version's own settings say all else."""
        own = [f"{key}={value}" for key, value in self.settings().items() if "tracking" in key]
        return CliRunner().invoke(
            steps.evaluate.main, ["--set", ";".join(own), "--name", NAME, *arguments]
        )


def kept_run(folder: Path, experiment: str, **tags: str) -> str:
    """A finished run with a folder's artifacts."""
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_artifacts(str(folder))
        mlflow.set_tags({key.replace("__", "."): value for key, value in tags.items()})
    return str(run.info.run_id)


def runs_of(parts: Parts, folder: Path, experiment: str) -> dict[str, str]:
    """What label, train and audit would have left of the parts."""
    settings = load_settings(Path("conf/full.yaml"))
    bars = synthetic_bars(1_600, seed=3, signal=0.6)
    table = label(bars, settings.label, settings.etl.max_bridge_minutes)
    write_table(folder / "labels.parquet", table, SERIES)
    data = {
        "path": str(folder / "labels.parquet"),
        "digest": path_digest(folder / "labels.parquet"),
    }
    write_json(folder / "label" / OUTPUT_FILE, data)
    parts.network.save(folder / "train" / "network")
    parts.auditor.save(folder / "audit" / "auditor")
    rows = out_of_fold_rows(pd.DatetimeIndex(bars.index[100:1_200]))
    (folder / "audit" / "out_of_fold").mkdir()
    rows.to_parquet(folder / "audit" / "out_of_fold" / "rows.parquet")
    train = kept_run(folder / "train", experiment)
    audit = kept_run(folder / "audit", experiment, quantgod__upstream__train=train)
    return {"label": kept_run(folder / "label", experiment), "train": train, "audit": audit}


@pytest.fixture(scope="module")
def lineage(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
    folder = tmp_path_factory.mktemp("lineage")
    (folder / "train" / "network").mkdir(parents=True)
    (folder / "audit" / "auditor").mkdir(parents=True)
    store = make_store(parts, folder)
    with tracked(store.uri):
        runs = runs_of(parts, folder, store.experiment)
        (folder / "register").mkdir()
        version = {"name": NAME, "version": str(store.number + 1)}
        write_json(folder / "register" / OUTPUT_FILE, version)
        made = Lineage(store, folder, runs, store.number + 1)
        own = load_settings(Path("conf/full.yaml"), made.settings())
        kept = keep_settings(folder / "register" / SETTINGS_FILE, own)
        runs["register"] = kept_run(folder / "register", store.experiment)
        assert store.add(parts.package, **Made(runs, settings=kept).tags()) == made.number
        yield made


def newest_run(lineage: Lineage) -> Run:
    found = MlflowClient().search_runs(
        [lineage.store.experiment], "tags.`quantgod.stage` = 'evaluate'", max_results=1
    )
    return found[0]


def fetched(run: Run, folder: Path) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(folder)))


@pytest.fixture(scope="module")
def of_version(lineage: Lineage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A version evaluated by its number alone: everything else is of its lineage."""
    done = lineage.evaluate_by_its_own("--version", str(lineage.number))
    assert done.exit_code == 0, done.output
    run = newest_run(lineage)
    return run, fetched(run, tmp_path_factory.mktemp("of_version"))


def test_a_version_is_scored_and_told_so(lineage: Lineage, of_version: tuple[Run, Path]) -> None:
    run, folder = of_version
    result = read_evidence(folder / EVALUATION_FILE, EvaluationResult)
    rows = read_scored(folder / "test")
    assert run.info.status == "FINISHED"
    assert result.subject == f"{NAME}/{lineage.number}"
    assert result.rows == len(rows) and result.inference is not None
    assert result.inference.windows == 3
    version = MlflowClient().get_model_version(NAME, str(lineage.number))
    assert lineage_of(version).runs["evaluate"] == run.info.run_id
    told = json.loads(version.tags["evaluation"])["figures"]
    auditor = {f"test_auditor_{name}": result.models["auditor"][name].value for name in KEY_SCORES}
    assert told == pytest.approx(auditor, rel=1e-4, abs=1e-6)
    assert len(version.tags) <= 9, "two verdicts' and a promotion's are to come"
    assert run.data.metrics.keys() > told.keys() and len(run.data.metrics) < 20
    assert run.data.metrics["test_base_log_loss"] == result.models["base"]["log_loss"].value
    for stage in ("label", "audit", "register"):
        assert run.data.tags[f"quantgod.upstream.{stage}"] == lineage.runs[stage]


def test_the_report_and_the_card_are_kept(lineage: Lineage, of_version: tuple[Run, Path]) -> None:
    run, folder = of_version
    card = (folder / "report" / "card.md").read_text(encoding="utf-8")
    assert MlflowClient().get_model_version(NAME, str(lineage.number)).description == card
    assert "<html" in (folder / "report" / "report.html").read_text(encoding="utf-8")
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert {"comparison", "reliability", "confusion"} <= figures
    result = read_evidence(folder / EVALUATION_FILE, EvaluationResult)
    base, auditor = (result.models[name]["macro_f1"] for name in ("base", "auditor"))
    assert not base.enough and not auditor.enough
    assert run.data.tags["quantgod.headline"].endswith(
        f"test macro-F1: base {base.value:.3f} (too few rows), auditor {auditor.value:.3f} "
        "(too few rows)"
    )


def no_report(*_: object) -> Report:
    """Drawing it once is enough for these tests."""
    return Report({}, {}, "", {}, "")


def test_an_audit_runs_model_says_the_same_and_marks_no_version(
    lineage: Lineage,
    of_version: tuple[Run, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quantgod.registry.scoring, "complete", no_report)
    before = MlflowClient().get_model_version(NAME, str(lineage.number)).tags
    runs = ("--label-run", lineage.runs["label"], "--audit-run", lineage.runs["audit"])
    done = lineage.evaluate(*runs)
    assert done.exit_code == 0, done.output
    folder = fetched(newest_run(lineage), tmp_path)
    result = read_evidence(folder / EVALUATION_FILE, EvaluationResult)
    assert result.subject == f"run {lineage.runs['audit']}"
    assert result.inference is None
    trained, served = read_scored(folder / "test"), read_scored(of_version[1] / "test")
    for model in ("base", "auditor"):
        gap = probabilities_of(trained, model) - probabilities_of(served, model)
        assert np.abs(gap).max() < 1e-6
    assert MlflowClient().get_model_version(NAME, str(lineage.number)).tags == before


def test_other_settings_leave_a_version_as_it_is(
    lineage: Lineage,
    of_version: tuple[Run, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that it is judged by change nothing of it; those it was made by are refused."""
    monkeypatch.setattr(quantgod.registry.scoring, "complete", no_report)
    before = MlflowClient().get_model_version(NAME, str(lineage.number))
    asked = ("--version", str(lineage.number))
    done = lineage.evaluate_by_its_own(*asked, "--stride", "9")
    assert done.exit_code == 0, done.output
    said = done.output.splitlines()[-1]
    assert said.endswith("keeps its card: judged by evaluate.stride 9 (its own: 7)")
    runs = len(MlflowClient().search_runs([lineage.store.experiment]))
    done = lineage.evaluate(*asked, "--set", "label.horizon_minutes=15;window.length=60")
    assert done.exit_code == 1
    assert done.output == (
        "Error: OtherSettingsError: quantgod 2 was made with label.horizon_minutes 60, not 15; "
        "window.length 720, not 60: `python -m steps.evaluate --name quantgod "
        "--version 2` takes its own settings, "
        "`python -m steps.main --config conf/full.yaml` with those that were given "
        "makes another version\n"
    )
    after = MlflowClient().get_model_version(NAME, str(lineage.number))
    assert (after.tags, after.description) == (before.tags, before.description)
    assert len(MlflowClient().search_runs([lineage.store.experiment])) == runs


def test_rows_of_the_audit_that_reach_into_the_test_part_end_it_in_a_line(
    lineage: Lineage,
) -> None:
    runs = ("--label-run", lineage.runs["label"], "--audit-run", lineage.runs["audit"])
    done = lineage.evaluate(*runs, "--set", "split.test_fraction=0.4")
    assert done.exit_code == 1
    assert re.search(r"^Error: ProvenanceError: \d+ of 1100 rows have a label that", done.output)
    assert newest_run(lineage).info.status == "FAILED"


def settings() -> Settings:
    return load_settings(Path("conf/full.yaml"))


def asked(lineage: Lineage, version: int | None = None, **runs: str | None) -> EvaluationRequest:
    return evaluation_request(MlflowClient(), NAME, version, runs)


def test_what_is_evaluated_is_found_by_what_was_named(lineage: Lineage) -> None:
    own = {stage: lineage.runs[stage] for stage in ("label", "audit", "register")}
    by_run = asked(lineage, label=None, audit=None, register=own["register"])
    assert by_run == EvaluationRequest(NAME, lineage.number, own)
    assert asked(lineage) == by_run, "the newest version"
    assert asked(lineage, lineage.number, label="other") == EvaluationRequest(
        NAME, lineage.number, own | {"label": "other"}
    )
    assert asked(lineage, audit=own["audit"]) == EvaluationRequest(
        NAME, None, {"audit": own["audit"]}
    )
    assert asked(lineage, lineage.store.number) == EvaluationRequest(NAME, lineage.store.number, {})


def test_what_does_not_belong_together_or_is_not_there_is_refused(lineage: Lineage) -> None:
    with pytest.raises(ContradictionError, match=f"is of audit run {lineage.runs['audit']}, and x"):
        asked(lineage, lineage.number, audit="x")
    with pytest.raises(NoSuchVersionError):
        asked(lineage, 99)
    with pytest.raises(NoSuchVersionError, match="nobody"):
        evaluation_request(MlflowClient(), "nobody", None, {})
    with pytest.raises(NoOutputError):
        asked(lineage, register=lineage.runs["train"])


def test_a_version_without_settings_or_audit_says_what_is_lacking(
    lineage: Lineage, parts: Parts
) -> None:
    done = lineage.evaluate("--version", str(lineage.store.number))
    assert done.exit_code == 1
    assert "NoOwnSettingsError: the settings that quantgod 1 was made by are not known" in (
        done.output
    )
    kept = lineage_of(MlflowClient().get_model_version(NAME, str(lineage.number)))
    runs = {stage: kept.runs[stage] for stage in ("register", "label")}
    bare = str(lineage.store.add(parts.package, **Made(runs, settings=kept.settings).tags()))
    done = lineage.evaluate_by_its_own("--version", bare)
    MlflowClient().delete_model_version(NAME, bare)
    assert done.exit_code == 1
    assert "MissingInput: evaluate needs a run of audit: give --audit-run" in done.output
