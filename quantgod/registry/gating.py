"""Judge a version by its gates: check and read the evidence, and compare it with the bounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.contracts import Progress, silent
from quantgod.dataset.learning_table import learned_from
from quantgod.evaluation.scored_rows import read_scored
from quantgod.gates import ChampionResult, GateReport, judge_gates
from quantgod.gates.champion import JournalTables
from quantgod.registry.challenge import Challenge, compare_with_champion
from quantgod.registry.evidence_runs import (
    check_data,
    check_evidence,
    evidence_runs,
    read_records,
)
from quantgod.registry.gate_tags import report_on
from quantgod.registry.own_settings import Judging, judging
from quantgod.registry.ownership import check_successor
from quantgod.registry.registered import asked_version, holder, known_version
from quantgod.registry.semantic_version import is_same_model
from quantgod.settings import Settings
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun

Shadow = Callable[[Path, str, Collection[int]], JournalTables]
"""Reads the live signals of versions of a model from a journal's folder."""


@dataclass(frozen=True)
class Gating:
    """A version to judge, with settings and evidence.

    Attributes:
        version: as the registry knows it.
        by: judging settings.
        runs: its evidence, by stage.
    """

    version: ModelVersion
    by: Judging
    runs: dict[str, str]


def gating(
    client: MlflowClient,
    at_hand: Settings,
    changes: Mapping[str, Any] | None,
    number: int | None,
    named: Mapping[str, str | None],
) -> Gating:
    """Find the requested version, its judging settings and its evidence.

    Args:
        client: of the store.
        at_hand: settings of a given file, or of the default one.
        changes: values that override the version's own; None if a file was given.
        number: of the version; None if a run is named, or for the newest.
        named: runs by stage; for other stages the newest fitting ones are used.

    Raises:
        VersionError: if there is no such version, or its evidence is missing.
        OtherSettingsError: if it was made with other settings than the given ones.
    """
    made_by = named.get("register") or named.get("evaluate")
    found = asked_version(client, at_hand.registry.name, number, made_by)
    by = judging(found, "gates", at_hand, changes)
    return Gating(found, by, evidence_runs(client, found, named, by.settings))


def judge(run: StageRun, what: Gating, shadow: Shadow, progress: Progress = silent) -> GateReport:
    """Compare the evidence with the bounds, and the version with the champion.

    Raises:
        OtherEvidenceError: if it is of another version, other data or other settings.
        OtherSeriesError: if the champion is of another series.
    """
    version, settings = what.version, run.settings
    check_evidence(run.client, version, what.runs, settings)
    check_data(version, run.inputs)
    number = holder(run.client, version.name, settings.registry.alias)
    champion = None if number is None else known_version(run.client, version.name, number)
    if champion is not None:
        check_successor(version, champion)
    with run.scratch() as folder:
        found = read_records(version, what.runs, folder)
        compared = _compared(run, what, champion, folder, shadow, progress)
    gates = judge_gates(*found, settings.gates, compared)
    return report_on(version, gates, number, run.run_id, what.by)


def _compared(
    run: StageRun,
    what: Gating,
    champion: ModelVersion | None,
    folder: Path,
    shadow: Shadow,
    progress: Progress,
) -> ChampionResult | None:
    """Return the comparison with the champion; None if there is none, or it is not required."""
    settings, name, number = run.settings, what.version.name, int(what.version.version)
    if not settings.gates.champion or champion is None or int(champion.version) == number:
        return None
    if is_same_model(what.version.tags, champion.tags):
        return ChampionResult(champion=f"{name}/{champion.version}", is_same=True)
    rows = read_scored(artifacts_of(what.runs["evaluate"], "test", folder))
    versions = number, int(champion.version)
    said = shadow(settings.live.own_journal, name, versions)
    challenge = Challenge(name, *versions, rows, *learned_from(run.inputs), said)
    return compare_with_champion(challenge, settings, progress)
