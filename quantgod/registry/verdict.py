"""Check whether a version passed its gates, by comparing their report with the version."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Final, NamedTuple

import mlflow
import msgspec
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.evaluation.evidence import evidence_bytes
from quantgod.gates import GATES_FILE, GateReport
from quantgod.registry.ledger import GatesSummary
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import FILES_TAG, BrokenVersionError, VersionError

REPORT_TAG: Final = "gates.report"


class ReportReference(msgspec.Struct, frozen=True):
    """The reference to a version's report in its tag: the run that stores it, and its digest."""

    run: str
    sha256: str


class _StoredReport(NamedTuple):
    """A report as stored by its run, and the digest of that file."""

    report: GateReport
    sha256: str

    def is_what(self, said: ReportReference | GateReport) -> bool:
        """Return whether a version's tag refers to this report."""
        return said in (self.report, ReportReference(self.report.run_id, self.sha256))


class GatesError(VersionError):
    """There is no valid report of gates for this version against the present champion."""


class GatesNotPassedError(GatesError):
    """Some gates failed.

    Attributes:
        failed: their names.
    """

    def __init__(self, text: str, failed: tuple[str, ...]) -> None:
        super().__init__(text)
        self.failed = failed


def report_of(found: ModelVersion, gates_run: str | None = None) -> GateReport:
    """Return the gates' report on a version, as stored by the judging run.

    Args:
        found: the version.
        gates_run: the judging run; by default the version's tag names it.

    Raises:
        GatesError: if there is none, the version's tag differs from the run's report, or the
            version has failed since the named run.
    """
    place = f"{found.name} {found.version}"
    said = _said(found, place)
    if gates_run is None and said is None:
        raise GatesError(f"{place} has not been judged: run gates")
    if said is None:
        return _kept_by(str(gates_run), place).report
    run = said.run if isinstance(said, ReportReference) else said.run_id
    last = _kept_by(run, place)
    if gates_run is not None:
        asked = _kept_by(gates_run, place).report
        _check_stands(asked, last.report, place)
        return asked
    if not last.is_what(said):
        raise GatesError(f"{place}: the tag {REPORT_TAG} is not what run {run} has kept")
    return last.report


def check_report(
    report: GateReport, found: ModelVersion, champion: int | None, bounds: str
) -> None:
    """Check that a report is about this version, its files and data, and passed these bounds.

    Args:
        report: of the gates.
        found: the version, with verified files.
        champion: the present champion.
        bounds: digest of the required gate settings.

    Raises:
        GatesError: naming where the report is about something else or older.
        GatesNotPassedError: naming the gates that failed.
    """
    place = f"{found.name} {found.version}"
    _check_about(report, found, place)
    if not bounds or report.bounds != bounds:
        raise GatesError(
            f"{place}: judged by other bounds than its settings name: run gates again "
            f"(came {report.bounds[:12] or 'none'}, expected {bounds[:12] or 'none'})"
        )
    if champion not in (report.champion, report.version):
        raise GatesError(
            f"{place}: judged against {_champion(report.champion)}, but {_champion(champion)} is "
            "in place now: run gates again"
        )
    _check_verdict(report, place)


def check_passed(report: GateReport, found: ModelVersion) -> None:
    """Check that a report is about this version, its files and data, and passed.

    Raises:
        GatesError: naming where the report is about something else.
        GatesNotPassedError: naming the gates that failed.
    """
    place = f"{found.name} {found.version}"
    _check_about(report, found, place)
    _check_verdict(report, place)


def _check_about(report: GateReport, found: ModelVersion, place: str) -> None:
    if (report.name, report.version) != (found.name, int(found.version)):
        raise GatesError(f"{place}: the report is about {report.name} {report.version}")
    if report.files_sha256 != found.tags.get(FILES_TAG):
        raise GatesError(f"{place}: the report is about other files ({report.files_sha256})")
    try:
        data = lineage_of(found).data
    except BrokenVersionError as error:
        raise GatesError(str(error)) from None
    if report.data != data:
        raise GatesError(f"{place}: other data was judged: {report.data}, the version has {data}")
    if dt.datetime.fromisoformat(report.at).timestamp() * 1000 < found.creation_timestamp:
        raise GatesError(f"{place}: the report of {report.at} is older than the version")
    if report.otherwise:
        raise GatesError(
            f"{place}: run {report.run_id} has judged it otherwise than its own settings say: "
            f"{', '.join(report.otherwise)}"
        )


def _check_verdict(report: GateReport, place: str) -> None:
    if not report.passed:
        text = f"{place}: {report.in_words()} (run {report.run_id})"
        raise GatesNotPassedError(text, report.stopped)


def summary_of(report: GateReport) -> GatesSummary:
    """Return the summary of a report for the ledger."""
    passed = sum(gate.passed is True for gate in report.gates)
    return GatesSummary(passed=passed, failed=report.stopped, run_id=report.run_id)


def judgement_of(report: GateReport) -> ReportReference:
    """Return the reference to a report for a version's tag."""
    return ReportReference(report.run_id, hashlib.sha256(evidence_bytes(report)).hexdigest())


def _said(found: ModelVersion, place: str) -> ReportReference | GateReport | None:
    """Return the version's last report, or a reference to it, from its tag."""
    text = found.tags.get(REPORT_TAG)
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=ReportReference)
    except msgspec.MsgspecError:  # earlier code wrote the whole report
        return _report(text, f"{place}: the tag {REPORT_TAG}")


def _check_stands(asked: GateReport, last: GateReport, place: str) -> None:
    """Check that the version has not failed the same bounds since."""
    if last.passed or last.bounds != asked.bounds:
        return
    if dt.datetime.fromisoformat(last.at) > dt.datetime.fromisoformat(asked.at):
        raise GatesError(
            f"{place}: run {last.run_id} has judged it since run {asked.run_id}: {last.in_words()}"
        )


def _kept_by(run_id: str, place: str) -> _StoredReport:
    try:
        kept = mlflow.artifacts.load_text(f"runs:/{run_id}/{GATES_FILE}")
    except MlflowException as error:
        text = f"{place}: run {run_id} has kept no {GATES_FILE}: {error.message}"
        raise GatesError(text) from None
    report = _report(kept, f"{place}: {GATES_FILE} of run {run_id}")
    return _StoredReport(report, hashlib.sha256(kept.encode()).hexdigest())


def _report(text: str, place: str) -> GateReport:
    try:
        return msgspec.json.decode(text, type=GateReport)
    except msgspec.MsgspecError as error:
        raise GatesError(f"{place} is no report of gates: {error}") from None


def _champion(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"
