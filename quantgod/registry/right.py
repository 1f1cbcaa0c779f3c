"""Check a version's right to an alias: its gates passed, or it was promoted to it.

Holding the alias is not enough: anybody can move it, also in MLflow's pages. A promotion stays
    valid
if the version is judged again later, so that a rollback to it remains possible.
"""

from __future__ import annotations

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.ledger import LedgerError, history, right_in_words
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.registered import VersionError, option_of
from quantgod.registry.verdict import GatesError, check_passed, report_of
from quantgod.settings import command


class UnjudgedVersionError(VersionError):
    """A version has neither passed its gates nor a recorded promotion."""


def right_of(client: MlflowClient, version: ModelVersion, alias: str) -> str:
    """Return a version's right to `alias`: `gates passed (run ...)`, or `by force: ...`.

    Raises:
        UnjudgedVersionError: if it has none, with what to do.
    """
    try:
        report = report_of(version)
        check_passed(report, version)
    except GatesError as error:
        return _promoted(client, version, alias, str(error))
    return f"gates passed (run {report.run_id})"


def _promoted(client: MlflowClient, version: ModelVersion, alias: str, lacking: str) -> str:
    number = int(version.version)
    try:
        spans = history(LedgerRun(client, version.name, alias).read())
    except LedgerError as error:
        raise UnjudgedVersionError(f"{lacking}; and {error}") from None
    entries = [span.entry for span in spans if span.entry.kind == "promotion"]
    for entry in reversed(entries):
        if entry.version == number:
            return right_in_words(entry)
    of = option_of(version)
    raise UnjudgedVersionError(
        f"{lacking}, and was never promoted as {alias}: `{command('gates', of)}` "
        f"judges it, `{command('promote', of)}` deploys it (by force, with a reason, "
        "whatever the gates say); `live.unjudged: warn` lets it answer all the same"
    )
