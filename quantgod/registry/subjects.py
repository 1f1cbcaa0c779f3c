"""Find the model to evaluate (a version or a run's model), and tag a scored version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mlflow import MlflowClient

from quantgod.auditor.auditor import load_auditor
from quantgod.ensemble.ensemble import load_ensemble
from quantgod.evaluation.ensemble_subject import EnsembleSubject
from quantgod.evaluation.network_subject import NetworkSubject
from quantgod.evaluation.subject import Subject
from quantgod.forecasters.network import load_network
from quantgod.registry.chain_subject import ChainSubject
from quantgod.registry.lineage import EvaluationSummary, lineage_of, set_tags
from quantgod.registry.registered import (
    VersionError,
    known_version,
    newest_version,
)
from quantgod.registry.versions import load_chain
from quantgod.settings import TrainSettings
from quantgod.tracking.ensembles import ENSEMBLE
from quantgod.tracking.keys import NoOutputError, artifacts_of, output_of

OLD_TAGS: Final = "test_"
STAGES: Final = ("label", "features", "snapshots", "audit", "register")


class ContradictionError(ValueError):
    """The named runs do not belong to the named version."""


class OldVersionError(VersionError):
    """A version is older than abstention in the chain: its actions are not known."""


@dataclass(frozen=True)
class EvaluationRequest:
    """The model to evaluate.

    Attributes:
        name: of the registered model.
        version: None for a run's model.
        runs: of label, features, snapshots, audit and register, where known.
    """

    name: str
    version: int | None
    runs: dict[str, str]


def evaluation_request(
    client: MlflowClient, name: str, version: int | None, runs: Mapping[str, str | None]
) -> EvaluationRequest:
    """Find the model: `version`, a register run's version, an audit run's model, or the newest.

    Other runs are taken from the version's lineage.

    Raises:
        NoSuchVersionError: if the registry does not know the version, or has none.
        NoOutputError: if the register run made no version.
        ContradictionError: if a named audit or register run is not the version's.
    """
    given = {stage: run for stage, run in runs.items() if run}
    if version is None and "register" in given:
        made = output_of(given["register"], "name", "version")
        name, version = made["name"], int(made["version"])
    elif version is None and "audit" in given:
        return EvaluationRequest(name, None, given)
    number = newest_version(name) if version is None else version
    runs = lineage_of(known_version(client, name, number)).runs
    own = {stage: runs[stage] for stage in STAGES if stage in runs}
    for stage in ("audit", "register"):
        if stage in given and given[stage] != own.get(stage, given[stage]):
            raise ContradictionError(
                f"{name} {number} is of {stage} run {own[stage]}, and {given[stage]} was named"
            )
    return EvaluationRequest(name, number, own | given)


def subject_of(
    asked: EvaluationRequest, client: MlflowClient, settings: TrainSettings, folder: Path
) -> Subject:
    """Load the model: a version as served, with its files checked, or a run's model as trained.

    Args:
        asked: the request.
        client: of the store.
        settings: batch size and device, for a run's model.
        folder: for a run's downloaded files.

    Raises:
        NoOutputError: if the audit run is of another stage.
        OldVersionError: if the version has no actions.
    """
    if asked.version is not None:
        model = load_chain(asked.name, asked.version)
        served = model.unwrap_python_model()  # type: ignore[no-untyped-call]
        if not hasattr(served.chain, "conformal"):
            raise OldVersionError(
                f"{asked.name} {asked.version} is from before versions abstained themselves, so "
                "what it would act on is not known: train and register a new one"
            )
        return ChainSubject(f"{asked.name}/{asked.version}", served.chain)
    audit = asked.runs["audit"]
    tags = client.get_run(audit).data.tags
    train, is_ensemble = tags.get("quantgod.upstream.train"), "quantgod.upstream.members" in tags
    if train is None and not is_ensemble:
        raise NoOutputError(f"run {audit} is of no audit: it names no train run")
    auditor = load_auditor(artifacts_of(audit, "auditor", folder))
    how = (auditor, settings.batch_size, settings.device)
    if is_ensemble:
        ensemble = load_ensemble(artifacts_of(audit, ENSEMBLE, folder))
        return EnsembleSubject(f"run {audit}", ensemble, *how)
    network = load_network(artifacts_of(str(train), "network", folder))
    return NetworkSubject(f"run {audit}", network, *how)


def tag_version(
    client: MlflowClient,
    asked: EvaluationRequest,
    run_id: str,
    metrics: Mapping[str, float],
    card: str,
) -> None:
    """Write figures, the evaluating run and the card to the scored version."""
    found = client.update_model_version(asked.name, str(asked.version), card)
    figures = {name: float(f"{value:.6g}") for name, value in metrics.items()}
    set_tags(client, found, EvaluationSummary(run_id, figures).tags(), instead=OLD_TAGS)
