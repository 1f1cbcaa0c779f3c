"""Read how the members of a registered ensemble are combined, and how they did on its test part."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from quantgod.evaluation.evidence import (
    EVALUATION_FILE,
    EnsembleResult,
    EvaluationResult,
    read_evidence,
)
from quantgod.evaluation.intervals import Interval
from quantgod.registry.chain import COMBINER
from quantgod.registry.lineage import lineage_of
from quantgod.registry.registered import FILES_TAG, BrokenVersionError, fetch
from quantgod.registry.versions import check_files
from quantgod.served.combiners.combiner import Combiner
from quantgod.tracking.keys import artifacts_of


def combiner_of(found: ModelVersion) -> Combiner | None:
    """Return the combiner that a version holds, its files checked; None for one network.

    Raises:
        EmptyVersionError: if it has no model.
        BrokenVersionError: naming a changed file, or a combiner of another form.
    """
    return _combiner(found.name, int(found.version), found.tags.get(FILES_TAG))


def scores_of(found: ModelVersion) -> dict[str, dict[str, Interval]]:
    """Return the test scores of an ensemble and each of its members; none if it was not scored.

    Raises:
        MlflowException, EvidenceError: as `result_of`.
    """
    together = result_of(found)
    return {} if together is None else together.models


def result_of(found: ModelVersion) -> EnsembleResult | None:
    """Return how an ensemble did on its test part; None if it was not scored.

    Raises:
        MlflowException: if its evaluation is gone.
        EvidenceError: if it cannot be read.
    """
    run = lineage_of(found).runs.get("evaluate")
    return None if run is None else _result(run)


@lru_cache(maxsize=16)
def _combiner(name: str, number: int, files_sha256: str | None) -> Combiner | None:
    """Read a version, which never changes, once."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = fetch(name, number, scratch)
        check_files(folder, files_sha256)
        kept = next(folder.rglob(COMBINER), None)
        if kept is None:
            return None
        try:
            return Combiner.from_json(json.loads(kept.read_text(encoding="utf-8")))
        except ValueError as error:
            raise BrokenVersionError(f"{name} {number}: {COMBINER}: {error}") from None


@lru_cache(maxsize=16)
def _result(run: str) -> EnsembleResult | None:
    with tempfile.TemporaryDirectory() as scratch:
        record = artifacts_of(run, EVALUATION_FILE, Path(scratch))
        return read_evidence(record, EvaluationResult).ensemble
