"""A version is judged by its gates: the evidence is checked, read, and held against the bounds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.contracts import Progress, silent
from quantgod.dataset.table import read_table
from quantgod.evaluation.scored_rows import read_scored
from quantgod.gates import ChampionResult, GateReport, judge_gates
from quantgod.gates.champion import JournalTables
from quantgod.registry.challenge import Challenge, compare_with_champion
from quantgod.registry.evidence_runs import (
    check_evidence,
    check_labels,
    evidence_runs,
    read_records,
)
from quantgod.registry.gate_tags import report_on
from quantgod.registry.own_settings import Judging, judging
from quantgod.registry.ownership import check_successor
from quantgod.registry.registered import asked_version, holder, known_version
from quantgod.settings import Settings
from quantgod.tracking.keys import artifacts_of
from quantgod.tracking.stage import StageRun

Shadow = Callable[[Path, str, Collection[int]], JournalTables]
"""Reads what versions of a model have said in live sessions, from a journal's folder."""


@dataclass(frozen=True)
class Gating:
    """What is to be judged.

    Attributes:
        version: as the registry knows it.
        by: what it is judged by.
        runs: that speak for it, by stage.
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
    """Find the version that is asked for, the settings to judge it by, and its evidence.

    Args:
        client: of the store.
        at_hand: settings of a given file, or else of the default one.
        changes: values over the version's own; None where a file was given.
        number: of the version; None where a run is named, or the newest is meant.
        named: runs by stage; of others the newest that fit are taken.

    Raises:
        VersionError: where there is no such version, or evidence of it is missing.
        OtherSettingsError: where it was made by other settings than those that were given.
    """
    made_by = named.get("register") or named.get("evaluate")
    found = asked_version(client, at_hand.registry.name, number, made_by)
    by = judging(found, "gates", at_hand, changes)
    return Gating(found, by, evidence_runs(client, found, named, by.settings))


def judge(run: StageRun, what: Gating, shadow: Shadow, progress: Progress = silent) -> GateReport:
    """Hold the evidence against the bounds, and against the version in place.

    Raises:
        OtherEvidenceError: where it is of another version, other data or other settings.
        OtherSeriesError: where the version in place is of another series.
    """
    version, settings = what.version, run.settings
    check_evidence(run.client, version, what.runs, settings)
    check_labels(version, run.inputs["labels"])
    champion = holder(run.client, version.name, settings.registry.alias)
    if champion is not None:
        check_successor(version, known_version(run.client, version.name, champion))
    with run.scratch() as folder:
        found = read_records(version, what.runs, folder)
        compared = _compared(run, what, champion, folder, shadow, progress)
    gates = judge_gates(*found, settings.gates, compared)
    return report_on(version, gates, champion, run.run_id, what.by)


def _compared(
    run: StageRun,
    what: Gating,
    champion: int | None,
    folder: Path,
    shadow: Shadow,
    progress: Progress,
) -> ChampionResult | None:
    """How it does beside the version in place; None where none is, it is that, or nobody asks."""
    settings, name, number = run.settings, what.version.name, int(what.version.version)
    if not settings.gates.champion or champion in (None, number):
        return None
    rows = read_scored(artifacts_of(what.runs["evaluate"], "test", folder))
    said = shadow(settings.live.own_journal, name, (number, champion))
    table = read_table(run.inputs["labels"])
    challenge = Challenge(name, number, champion, rows, table, said)
    return compare_with_champion(challenge, settings, progress)
