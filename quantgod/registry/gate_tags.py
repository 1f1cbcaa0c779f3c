"""Write the gates' verdict to a version's tags, bound to the judged files and data.

`gates.report` names the run with the report, which a promotion reads, and its digest. `gates` is
the verdict for people: `passed`, or `failed: mcc, ece`.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.gates import Gate, GateReport, bounds_digest
from quantgod.registry.lineage import lineage_of, market_in_words, set_tags
from quantgod.registry.own_settings import Judging
from quantgod.registry.registered import FILES_TAG, VersionError, known_version
from quantgod.registry.verdict import REPORT_TAG, judgement_of
from quantgod.settings import command

VERDICT_TAG: Final = "gates"
OLD_TAGS: Final = "gate."
PASSED: Final = "passed"
FAILED: Final = "failed"


class UnboundReportError(VersionError):
    """A report is not, or cannot be, bound to the version's files and data."""


def report_on(
    version: ModelVersion,
    gates: tuple[Gate, ...],
    champion: int | None,
    run_id: str,
    by: Judging,
) -> GateReport:
    """Return a report that binds gates to the version they judged, as of now.

    Args:
        version: as the registry knows it.
        gates: the verdicts.
        champion: the present champion.
        run_id: of the judging run.
        by: the judging settings.

    Raises:
        UnboundReportError: if the version's tags lack the digest of its files or its data.
    """
    made = lineage_of(version)
    if FILES_TAG not in version.tags or not made.data:
        missing = f"tag {FILES_TAG}" if FILES_TAG not in version.tags else "data in its lineage"
        raise UnboundReportError(
            f"{version.name} {version.version} has no {missing}: nothing says what was judged; "
            f"`{command('register')}` registers a version with its lineage"
        )
    return GateReport(
        name=version.name,
        version=int(version.version),
        files_sha256=version.tags[FILES_TAG],
        data=made.data,
        champion=champion,
        at=dt.datetime.now(dt.UTC).isoformat(),
        run_id=run_id,
        gates=gates,
        bounds=bounds_digest(by.settings.gates),
        otherwise=by.otherwise,
        market=market_in_words(made.runs, by.settings),
    )


def record_gates(client: MlflowClient, report: GateReport) -> None:
    """Write a report to its version's tags: first its place, then the verdict for people.

    Raises:
        NoSuchVersionError: if the registry does not know the version.
        UnboundReportError: if the version's files or data differ from the judged ones.
    """
    version = known_version(client, report.name, report.version)
    _check_bound(version, report)
    set_tags(client, version, gate_tags(report), instead=OLD_TAGS)


def gate_tags(report: GateReport) -> dict[str, str]:
    """Return the tags of a report, `gates.report` first."""
    verdict = PASSED if report.passed else f"{FAILED}: {report.held_back}"
    return {
        REPORT_TAG: msgspec.json.encode(judgement_of(report)).decode(),
        VERDICT_TAG: "; ".join(text for text in (verdict, report.market) if text),
    }


def _check_bound(version: ModelVersion, report: GateReport) -> None:
    now = {FILES_TAG: version.tags.get(FILES_TAG), **lineage_of(version).data}
    then = {FILES_TAG: report.files_sha256, **report.data}
    differ = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
    if differ:
        said = [f"{key} is {now.get(key)}, judged was {then.get(key)}" for key in differ]
        raise UnboundReportError(f"{version.name} {version.version}: {'; '.join(said)}")
