"""Reports of gates on versions, as the gates' own run would keep them."""

from __future__ import annotations

from pathlib import Path

import mlflow
import msgspec
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.evaluation.evidence import write_evidence
from quantgod.gates import GATES_FILE, Gate, GateReport
from quantgod.registry.gate_tags import gate_tags
from quantgod.registry.lineage import lineage_of
from quantgod.registry.moving import now
from quantgod.registry.registered import FILES_TAG, known_version
from quantgod.registry.verdict import REPORT_TAG
from tests.registry.shelves import NAME

PASSED = Gate("mcc", "0.2", "> 0", True, "of a test")
FAILED = Gate("ece", "0.2", "<= 0.05", False, "of a test")
BOUNDS = "b" * 64
NOT_ASKED = Gate("accuracy", "0.2", "not asked for", None, "of a test")


def version(number: int = 1) -> ModelVersion:
    return known_version(MlflowClient(), NAME, number)


def report(number: int = 1, *gates: Gate, run_id: str = "", **changed: object) -> GateReport:
    found = version(number)
    made = GateReport(
        name=NAME, version=number, files_sha256=found.tags[FILES_TAG],
        data=lineage_of(found).data, champion=None, at=now(), run_id=run_id,
        gates=gates or (PASSED, NOT_ASKED), bounds=BOUNDS,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changed)


def judged(folder: Path, number: int = 1, *gates: Gate, **changed: object) -> GateReport:
    """A report that a run has kept, and the version's tag repeats."""
    with mlflow.start_run() as run:
        made = report(number, *gates, run_id=run.info.run_id, **changed)
        write_evidence(folder / GATES_FILE, made)
        mlflow.log_artifact(str(folder / GATES_FILE))
    text = gate_tags(made)[REPORT_TAG]
    MlflowClient().set_model_version_tag(NAME, str(number), REPORT_TAG, text)
    return made
