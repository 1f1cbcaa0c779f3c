"""A version's gates as its tags: the report, bound to what was judged, and each verdict to read.

`gates.report` is the report itself, which a promotion reads. `gates` (passed or failed),
`gate.NAME` (`pass: 0.31 [0.2, 0.4], > 0`) and `run.gates` tell people the same.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.evaluation.gates import Gate, GateReport
from quantgod.registry.registered import FILES_TAG, VersionError, known_version
from quantgod.registry.verdict import DATA_TAG, REPORT_TAG

VERDICT_TAG: Final = "gates"
GATE_TAG: Final = "gate."
RUN_TAG: Final = "run.gates"
PASSED: Final = "passed"
FAILED: Final = "failed"


class UnboundReportError(VersionError):
    """A report that is not, or cannot be, bound to the version's files and data."""


def report_on(
    version: ModelVersion,
    gates: tuple[Gate, ...],
    champion: int | None,
    run_id: str,
    bounds: str,
    otherwise: tuple[str, ...] = (),
) -> GateReport:
    """Bind gates to the version that they judged, as of now.

    Args:
        version: as the registry knows it.
        gates: what was judged.
        champion: the version in place.
        run_id: of the run that judges.
        bounds: digest of the settings that they were judged by.
        otherwise: in what those differ from the version's own.

    Raises:
        UnboundReportError: if the version's tags name no digest of its files, or of no data.
    """
    data = _data(version)
    if FILES_TAG not in version.tags or not data:
        missing = FILES_TAG if FILES_TAG not in version.tags else f"{DATA_TAG}*"
        raise UnboundReportError(
            f"{version.name} {version.version} has no tag {missing}: nothing says what was judged; "
            "`python -m steps.register` registers a version with its lineage"
        )
    return GateReport(
        name=version.name,
        version=int(version.version),
        files_sha256=version.tags[FILES_TAG],
        data=data,
        champion=champion,
        at=dt.datetime.now(dt.UTC).isoformat(),
        run_id=run_id,
        gates=gates,
        bounds=bounds,
        otherwise=otherwise,
    )


def record_gates(client: MlflowClient, report: GateReport) -> None:
    """Write a report to its version's tags. The report goes first, whole: the others only say it.

    Raises:
        NoSuchVersionError: if the registry does not know the version.
        UnboundReportError: if the version's files or data are not those that were judged.
    """
    version = known_version(client, report.name, report.version)
    _check_bound(version, report)
    number = str(report.version)
    for key, value in gate_tags(report).items():
        client.set_model_version_tag(report.name, number, key, value)
    judged = {GATE_TAG + gate.name for gate in report.gates}
    for key in version.tags:
        if key.startswith(GATE_TAG) and key not in judged:
            client.delete_model_version_tag(report.name, number, key)


def gate_tags(report: GateReport) -> dict[str, str]:
    """The tags of a report, `gates.report` first."""
    return {
        REPORT_TAG: msgspec.json.encode(report).decode(),
        VERDICT_TAG: PASSED if report.passed else FAILED,
        RUN_TAG: report.run_id,
        **{GATE_TAG + gate.name: _in_words(gate) for gate in report.gates},
    }


def _data(version: ModelVersion) -> dict[str, str]:
    """Digests of the data in a version's lineage, by name."""
    kept = sorted(key for key in version.tags if key.startswith(DATA_TAG))
    return {key.removeprefix(DATA_TAG): version.tags[key] for key in kept}


def _check_bound(version: ModelVersion, report: GateReport) -> None:
    now = {FILES_TAG: version.tags.get(FILES_TAG), **_data(version)}
    then = {FILES_TAG: report.files_sha256, **report.data}
    differ = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
    if differ:
        said = [f"{key} is {now.get(key)}, judged was {then.get(key)}" for key in differ]
        raise UnboundReportError(f"{version.name} {version.version}: {'; '.join(said)}")


def _in_words(gate: Gate) -> str:
    return f"{gate.verdict}: {gate.figure}, {gate.bound}"
