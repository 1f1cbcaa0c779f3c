"""Which runs a version's gates rest on: found by its lineage, refused where they are of another.

An evaluation must have scored this version on the labels of its lineage, a backtest must have
traded what that evaluation scored, and a leak audit must be of the version's network and auditor.
None may have begun before the data was made, or have been made by other settings or code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.evaluation.evidence import (
    BACKTEST_FILE,
    EVALUATION_FILE,
    LEAK_AUDIT_FILE,
    BacktestResult,
    EvaluationResult,
    LeakAuditResult,
    read_evidence,
)
from quantgod.registry.evidence_settings import judged_otherwise, made_otherwise, other_code
from quantgod.registry.registered import VersionError
from quantgod.settings import Settings
from quantgod.tracking.keys import artifacts_of, output_of, path_digest
from quantgod.tracking.stage import STAGE_TAG

MAKERS: Final = ("label", "train", "audit")
DATA_STAGES: Final = ("simulate", "download", "etl", "label")
ENDED: Final = {"backtest": ("FINISHED",), "leak_audit": ("FINISHED", "FAILED")}
"""A leak audit that found a leak has failed, and its record says so."""

LINEAGE: Final = {"backtest": ("optimize",), "leak_audit": ("optimize", "train", "audit")}
"""Of the version's own runs, those that such a run must stand on, where the version names them.

A backtest that is not told of the search counts one trial, and luck then looks like skill.
"""

_RUN: Final = "run."
_UPSTREAM: Final = "quantgod.upstream."
_INPUT: Final = "quantgod.input."


class MissingEvidenceError(VersionError):
    """A run that the gates need is not there; the message has the command that makes it."""


class OtherEvidenceError(VersionError):
    """A run that is not of this version, its data, or its time."""


class Evidence(NamedTuple):
    """What the gates judge."""

    evaluation: EvaluationResult
    backtest: BacktestResult
    leak_audit: LeakAuditResult | None


def evidence_runs(
    client: MlflowClient, version: ModelVersion, given: Mapping[str, str | None]
) -> dict[str, str]:
    """The runs that the gates rest on, by stage: those that are given, or the lineage's newest.

    Args:
        client: of the store.
        version: that is to be judged.
        given: run ids by stage; None where the lineage is to be asked.

    Returns:
        `evaluate`, `backtest`, and where there is one `leak_audit`, `label` and `register`.

    Raises:
        MissingEvidenceError: with the command that makes what is missing.
    """
    runs = {stage: run for stage, run in given.items() if run}
    own = {stage: version.tags.get(_RUN + stage) for stage in ("label", "register", "evaluate")}
    runs = {stage: run for stage, run in own.items() if run} | runs
    if "evaluate" not in runs:
        raise _missing(version, "evaluate", f"python -m steps.evaluate --version {version.version}")
    if "backtest" not in runs:
        found = _newest(client, "backtest", "evaluate", runs["evaluate"], BACKTEST_FILE)
        if found is None:
            raise _missing(version, "backtest", command(version, "backtest", runs["evaluate"]))
        runs["backtest"] = found
    if "leak_audit" not in runs and _RUN + "audit" in version.tags:
        audit = version.tags[_RUN + "audit"]
        found = _newest(client, "leak_audit", "audit", audit, LEAK_AUDIT_FILE)
        runs |= {} if found is None else {"leak_audit": found}
    return runs


def command(version: ModelVersion, stage: str, evaluate: str | None = None) -> str:
    """How a version's backtest or leak audit is made."""
    needed = {name: version.tags.get(_RUN + name) for name in ("etl", *LINEAGE[stage])}
    given = [f"--{name}-run {run}" for name, run in {**needed, "evaluate": evaluate}.items() if run]
    return f"python -m steps.{stage} {' '.join(given)}"


def check_evidence(
    client: MlflowClient, version: ModelVersion, runs: Mapping[str, str], settings: Settings
) -> None:
    """See that these runs speak of this version, its data, and of nothing that was made later.

    Args:
        client: of the store.
        version: that is to be judged.
        runs: ids by stage.
        settings: by which it is judged; the evidence must have been made by them.

    Raises:
        MissingEvidenceError: if the store knows one of them no more.
        OtherEvidenceError: naming every difference.
    """
    found = {
        stage: _known(client, version, stage, runs[stage])
        for stage in ("evaluate", "backtest", "leak_audit")
        if stage in runs
    }
    made = [
        _known(client, version, stage, version.tags[_RUN + stage])
        for stage in MAKERS
        if _RUN + stage in version.tags
    ]
    wrong = [
        *(text for stage, run in found.items() for text in _of_another(version, stage, run, runs)),
        *_scored_another(version, found["evaluate"]),
        *(text for run in found.values() for text in _older_than_data(client, version, run)),
        *(text for run in found.values() for text in made_otherwise(run, made)),
        *(text for run in found.values() for text in judged_otherwise(run, settings)),
        *_other_code(found, made),
    ]
    if wrong:
        raise OtherEvidenceError(f"{version.name} {version.version}: {'; '.join(wrong)}")


def check_labels(version: ModelVersion, labels: Path) -> None:
    """See that the labels at hand are those of the version's lineage.

    Raises:
        OtherEvidenceError: if they are others, or the lineage names none.
    """
    theirs, ours = version.tags.get("data.labels"), path_digest(labels)
    if theirs != ours:
        raise OtherEvidenceError(
            f"{version.name} {version.version} was made of labels {theirs}, and those at {labels} "
            f"are {ours}: name its --label-run, or train anew"
        )


def read_records(version: ModelVersion, runs: Mapping[str, str], folder: Path) -> Evidence:
    """Fetch what the runs have kept into `folder`.

    Raises:
        EvidenceError: for a record that cannot be read.
        OtherEvidenceError: if the evaluation's record is of another subject.
    """
    kept = {
        stage: artifacts_of(runs[stage], name, folder)
        for stage, name in (
            ("evaluate", EVALUATION_FILE),
            ("backtest", BACKTEST_FILE),
            ("leak_audit", LEAK_AUDIT_FILE),
        )
        if stage in runs
    }
    evaluation = read_evidence(kept["evaluate"], EvaluationResult)
    place = f"{version.name}/{version.version}"
    if evaluation.subject != place:
        raise OtherEvidenceError(f"{place}: the record is of {evaluation.subject}")
    return Evidence(
        evaluation,
        read_evidence(kept["backtest"], BacktestResult),
        read_evidence(kept["leak_audit"], LeakAuditResult) if "leak_audit" in kept else None,
    )


def _of_another(
    version: ModelVersion, stage: str, run: Run, runs: Mapping[str, str]
) -> Iterator[str]:
    """Where stage, upstream runs or data of a run are not those of the version."""
    tags = run.data.tags
    if tags.get(STAGE_TAG) != stage:
        yield f"run {run.info.run_id} is of {tags.get(STAGE_TAG)}, a run of {stage} was expected"
        return
    if run.info.status not in ENDED.get(stage, ("FINISHED",)):
        yield f"the run of {stage} is {run.info.status}"
    own = {name: version.tags.get(_RUN + name) for name in LINEAGE.get(stage, ())}
    own |= {"evaluate": runs["evaluate"]} if stage == "backtest" else {}
    for name, wanted in own.items():
        came = tags.get(_UPSTREAM + name)
        if came != wanted:
            yield f"the {stage} is of {name} run {came}, {wanted} was expected"
    for name in ("labels", "bars"):
        read, known = tags.get(_INPUT + name), version.tags.get(f"data.{name}")
        if read is not None and read != known:
            yield f"the {stage} read {name} {read}, the version is made of {known}"


def _other_code(found: Mapping[str, Run], made: list[Run]) -> Iterator[str]:
    """Where a leak audit was of other code than that which trained network and auditor."""
    if "leak_audit" in found:
        trained = [run for run in made if run.data.tags.get(STAGE_TAG) in ("train", "audit")]
        yield from other_code(found["leak_audit"], trained)


def _scored_another(version: ModelVersion, run: Run) -> Iterator[str]:
    """Where an evaluation is of another version, or of a run's model."""
    output = output_of(run.info.run_id)
    scored = f"{output.get('name')} {output.get('version')}"
    if scored != f"{version.name} {version.version}":
        whom = scored if "version" in output else "a run's model"
        yield f"run {run.info.run_id} has scored {whom}"


def _older_than_data(client: MlflowClient, version: ModelVersion, run: Run) -> Iterator[str]:
    for stage in DATA_STAGES:
        if (made := version.tags.get(_RUN + stage)) is None:
            continue
        ended = _known(client, version, stage, made).info.end_time
        if ended is None or ended > run.info.start_time:
            kind = run.data.tags.get(STAGE_TAG)
            yield f"the {kind} run is older than its data: {stage} run {made} had not ended"


def _newest(client: MlflowClient, stage: str, upstream: str, run_id: str, kept: str) -> str | None:
    """The newest run of a stage that stands on this one and has kept its record."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.`{STAGE_TAG}` = '{stage}' and tags.`{_UPSTREAM}{upstream}` = '{run_id}'"
    for run in client.search_runs(experiments, wanted, order_by=["attributes.start_time DESC"]):
        files = client.list_artifacts(run.info.run_id)
        if run.info.status in ENDED[stage] and any(file.path == kept for file in files):
            return str(run.info.run_id)
    return None


def _known(client: MlflowClient, version: ModelVersion, stage: str, run_id: str) -> Run:
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        raise MissingEvidenceError(
            f"{version.name} {version.version}: its {stage} run {run_id} is gone: {error.message}"
        ) from None


def _missing(version: ModelVersion, stage: str, how: str) -> MissingEvidenceError:
    return MissingEvidenceError(
        f"{version.name} {version.version} has no {stage} run: `{how}` makes it"
    )
