"""Find and check the runs that a version's gates are based on.

The evaluation must have scored this version on the labels of its lineage, the backtest must have
traded the rows of that evaluation, and the leak audit must be of the version's network and auditor.
Each must have read the same data as the version and used its settings. Runs with equal keys can
replace each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.archive.store import without_books
from quantgod.evaluation.evidence import (
    BACKTEST_FILE,
    EVALUATION_FILE,
    LEAK_AUDIT_FILE,
    BacktestResult,
    EvaluationResult,
    LeakAuditResult,
    read_evidence,
)
from quantgod.registry.evidence_settings import made_otherwise, other_code
from quantgod.registry.lineage import lineage_of
from quantgod.registry.own_settings import in_short
from quantgod.registry.registered import VersionError, option_of
from quantgod.settings import Settings, command
from quantgod.tracking.keys import artifacts_of, key_of_run, output_of, path_digest
from quantgod.tracking.stage import STAGE_TAG

OWN: Final = ("label", "features", "snapshots", "register", "evaluate")
"""The version's own runs that the gates take where none are named."""

MAKERS: Final = ("label", "train", "members", "audit")
BESIDE_BARS: Final = ("features", "snapshots")
"""Data that not every network looks at."""

DATA: Final = {
    "evaluate": ("labels", *BESIDE_BARS),
    "backtest": ("bars",),
    "leak_audit": ("bars", "snapshots"),
}
"""The data that each run must share with the version's lineage."""

ENDED: Final = {"backtest": ("FINISHED",), "leak_audit": ("FINISHED", "FAILED")}
"""Accepted run states; a leak audit that found a leak has FAILED, but has its record."""

LINEAGE: Final = {
    "backtest": ("optimize", "members"),
    "leak_audit": ("optimize", "train", "members", "audit"),
}
"""The version's own runs that each run must be based on, if the version names them.

A backtest without the search would count one trial, and luck would look like skill.
"""

RECORDS: Final = {
    "evaluate": EVALUATION_FILE,
    "backtest": BACKTEST_FILE,
    "leak_audit": LEAK_AUDIT_FILE,
}
"""The artifact name of each run's record."""

_UPSTREAM: Final = "quantgod.upstream."
_INPUT: Final = "quantgod.input."


class MissingEvidenceError(VersionError):
    """A run that the gates need is missing; the message has the command that makes it."""


class OtherEvidenceError(VersionError):
    """A run is of another version, other data or another time."""


class Evidence(NamedTuple):
    """The records that the gates judge."""

    evaluation: EvaluationResult
    backtest: BacktestResult
    leak_audit: LeakAuditResult | None


def evidence_runs(
    client: MlflowClient,
    version: ModelVersion,
    given: Mapping[str, str | None],
    settings: Settings,
) -> dict[str, str]:
    """Return the runs for the gates, by stage: the given ones, or the lineage's newest.

    Args:
        client: of the store.
        version: the version to judge.
        given: run ids by stage; None to search the lineage.
        settings: judging settings; runs with others are skipped.

    Returns:
        `evaluate`, `backtest`, and if they exist `leak_audit` and those of `OWN`.

    Raises:
        MissingEvidenceError: with the command that makes the missing run.
    """
    runs = {stage: run for stage, run in given.items() if run}
    own = lineage_of(version).runs
    runs = {stage: own[stage] for stage in OWN if stage in own} | runs
    if "evaluate" not in runs:
        raise _missing(version, "evaluate", making(version, "evaluate"))
    if "backtest" not in runs:
        found = _newest(client, "backtest", ("evaluate", runs["evaluate"]), settings)
        if found is None:
            _check_books(version, settings)
            raise _missing(version, "backtest", making(version, "backtest", runs["evaluate"]))
        runs["backtest"] = found
    if "leak_audit" not in runs and "audit" in own:
        found = _newest(client, "leak_audit", ("audit", own["audit"]), settings)
        runs |= {} if found is None else {"leak_audit": found}
    return runs


def making(version: ModelVersion, stage: str, evaluate: str | None = None) -> str:
    """Return the command that makes a version's evaluation, backtest or leak audit."""
    of = [] if evaluate is None else [f"--evaluate-run {evaluate}"]
    return command(stage, option_of(version), *of)


def check_evidence(
    client: MlflowClient, version: ModelVersion, runs: Mapping[str, str], settings: Settings
) -> None:
    """Check that these runs are about this version and its data.

    Args:
        client: of the store.
        version: the version to judge.
        runs: ids by stage.
        settings: judging settings; the runs must have used them.

    Raises:
        MissingEvidenceError: if the store no longer knows one of them.
        OtherEvidenceError: naming every difference.
    """
    found = {
        stage: _known(client, version, stage, runs[stage])
        for stage in ("evaluate", "backtest", "leak_audit")
        if stage in runs
    }
    own = lineage_of(version).runs
    made = [_known(client, version, stage, own[stage]) for stage in MAKERS if stage in own]
    wrong = [
        *(
            text
            for stage, run in found.items()
            for text in _of_another(client, version, stage, run, runs)
        ),
        *_scored_another(version, found["evaluate"]),
        *(text for run in found.values() for text in made_otherwise(run, settings)),
        *_other_code(found, made),
    ]
    if wrong:
        raise OtherEvidenceError(f"{version.name} {version.version}: {'; '.join(wrong)}")


def check_makers(client: MlflowClient, runs: Mapping[str, str], settings: Settings) -> None:
    """Check that the runs behind a new version used the settings that it will keep as its own.

    Raises:
        OtherEvidenceError: naming every difference.
    """
    found = [client.get_run(runs[stage]) for stage in MAKERS if stage in runs]
    if wrong := [text for run in found for text in made_otherwise(run, settings)]:
        raise OtherEvidenceError(f"{in_short(wrong)}: give `register` what they were given")


def check_data(version: ModelVersion, inputs: Mapping[str, Path]) -> None:
    """Check that labels, and what else is read, are those of the version's lineage.

    Args:
        version: the version to judge.
        inputs: paths of the data that is read, by name.

    Raises:
        OtherEvidenceError: if they differ, or the lineage names none.
    """
    known = lineage_of(version).data
    for data, maker in (("labels", "label"), *((name, name) for name in BESIDE_BARS)):
        theirs, ours = known.get(data), path_digest(inputs[data]) if data in inputs else None
        if ours is not None and theirs != ours:
            raise OtherEvidenceError(
                f"{version.name} {version.version} was made of {data} {theirs}, and those at "
                f"{inputs[data]} are {ours}: name its --{maker}-run, or train anew"
            )


def read_records(version: ModelVersion, runs: Mapping[str, str], folder: Path) -> Evidence:
    """Download the runs' records into `folder` and read them.

    Raises:
        EvidenceError: if a record cannot be read.
        OtherEvidenceError: if the evaluation's record is about another subject.
    """
    kept = {
        stage: artifacts_of(runs[stage], name, folder)
        for stage, name in RECORDS.items()
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
    client: MlflowClient, version: ModelVersion, stage: str, run: Run, runs: Mapping[str, str]
) -> Iterator[str]:
    """Yield where a run's stage, upstream runs or data differ from the version's."""
    tags = run.data.tags
    if tags.get(STAGE_TAG) != stage:
        yield f"run {run.info.run_id} is of {tags.get(STAGE_TAG)}, a run of {stage} was expected"
        return
    if run.info.status not in ENDED.get(stage, ("FINISHED",)):
        yield f"the run of {stage} is {run.info.status}"
    lineage = lineage_of(version)
    own = {name: lineage.runs.get(name) for name in LINEAGE.get(stage, ())}
    own |= {"evaluate": runs["evaluate"]} if stage == "backtest" else {}
    for name, wanted in own.items():
        came = tags.get(_UPSTREAM + name)
        if came != wanted and not _are_equal(client, name, came, wanted):
            yield f"the {stage} is of {name} run {came}, {wanted} was expected"
    for data in DATA[stage]:
        read, known = tags.get(_INPUT + data), lineage.data.get(data)
        if read != known or (read is None and data not in BESIDE_BARS):
            yield f"the {stage} read {data} {read}, the version is made of {known}"


def _are_equal(client: MlflowClient, stage: str, one: str | None, other: str | None) -> bool:
    """Return whether two runs of a stage have the same key, so that one can replace the other."""
    if one is None or other is None:
        return False
    with suppress(MlflowException):  # one of them was deleted
        return key_of_run(client, stage, one) == key_of_run(client, stage, other)
    return False


def _other_code(found: Mapping[str, Run], made: list[Run]) -> Iterator[str]:
    """Yield if a leak audit used other code than the training of network and auditor."""
    if "leak_audit" in found:
        trained = [
            run for run in made if run.data.tags.get(STAGE_TAG) in ("train", "members", "audit")
        ]
        yield from other_code(found["leak_audit"], trained)


def _scored_another(version: ModelVersion, run: Run) -> Iterator[str]:
    """Yield if an evaluation is of another version, or of a run's model."""
    output = output_of(run)
    scored = f"{output.get('name')} {output.get('version')}"
    if scored != f"{version.name} {version.version}":
        whom = scored if "version" in output else "a run's model"
        yield f"run {run.info.run_id} has scored {whom}"


def _newest(
    client: MlflowClient, stage: str, upstream: tuple[str, str], settings: Settings
) -> str | None:
    """Return the newest valid run of a stage that is based on `upstream` and has its record.

    A run with other settings is not valid, unless it failed: a leak that was found counts.
    """
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    of, run_id = upstream
    wanted = f"tags.`{STAGE_TAG}` = '{stage}' and tags.`{_UPSTREAM}{of}` = '{run_id}'"
    for run in client.search_runs(experiments, wanted, order_by=["attributes.start_time DESC"]):
        files = client.list_artifacts(run.info.run_id)
        has_ended = run.info.status in ENDED[stage]
        counts = run.info.status == "FAILED" or not any(made_otherwise(run, settings))
        if has_ended and counts and any(file.path == RECORDS[stage] for file in files):
            return str(run.info.run_id)
    return None


def _known(client: MlflowClient, version: ModelVersion, stage: str, run_id: str) -> Run:
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        raise MissingEvidenceError(
            f"{version.name} {version.version}: its {stage} run {run_id} is gone: {error.message}"
        ) from None


def _check_books(version: ModelVersion, settings: Settings) -> None:
    """Refuse a version whose bars have no books, since it cannot be backtested."""
    data = settings.data
    if without_books(data.market_bars, data.symbol):
        raise MissingEvidenceError(
            f"{version.name} {version.version} has no backtest run and can have none: the bars at "
            f"{data.own_bars} have no levels of a book to trade on, and gates judge no version "
            "without a backtest"
        )


def _missing(version: ModelVersion, stage: str, how: str) -> MissingEvidenceError:
    return MissingEvidenceError(
        f"{version.name} {version.version} has no {stage} run: `{how}` makes it"
    )
