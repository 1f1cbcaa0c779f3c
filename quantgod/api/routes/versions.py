"""Registered versions, and what the gates said of one."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path
from mlflow.entities.model_registry import ModelVersion
from pydantic import BaseModel, Field

from quantgod.api.answers import ABSENT, CONFLICT
from quantgod.api.desk import AtDesk
from quantgod.gates import GateReport
from quantgod.registry.gate_tags import VERDICT_TAG
from quantgod.registry.registered import all_versions, known_version
from quantgod.registry.semantic_version import SEMANTIC_TAG
from quantgod.registry.verdict import report_of

router = APIRouter(prefix="/api/versions", tags=["Versions"])


class Version(BaseModel):
    """A registered version."""

    version: int
    semantic_version: str | None
    created: dt.datetime
    gates: str | None = Field(description="passed, or failed with names; null if not judged.")


class GateVerdict(BaseModel):
    """What one gate said."""

    name: str
    figure: str = Field(description="What was measured.")
    bound: str = Field(description="What it was held against.")
    verdict: str = Field(
        description="pass, FAIL, `not judged` (too little data), or - (not asked)."
    )
    detail: str


class Verdict(BaseModel):
    """What the gates said of a version."""

    version: int
    passed: bool
    failed: list[str] = Field(description="Gates that stop it.")
    champion: int | None = Field(description="The version that was in place then.")
    at: str = Field(description="ISO 8601, UTC.")
    run_id: str = Field(description="The judging run.")
    market: str = Field(description="Says if the market is simulated; empty for a real one.")
    gates: list[GateVerdict]


@router.get("")
def versions(desk: AtDesk) -> list[Version]:
    """Return all registered versions of the model, the oldest first."""
    return [_version(found) for found in all_versions(desk.client, desk.name)]


@router.get("/{version}/gates", responses={**ABSENT, **CONFLICT})
def gates(
    desk: AtDesk,
    version: Annotated[int, Path(ge=1, le=2**31 - 1, description="Its number.")],
) -> Verdict:
    """Return the last verdict of the gates on a version; 409 if it has not been judged."""
    return verdict_of(report_of(known_version(desk.client, desk.name, version)))


def _version(found: ModelVersion) -> Version:
    return Version(
        version=int(found.version),
        semantic_version=found.tags.get(SEMANTIC_TAG),
        created=dt.datetime.fromtimestamp(found.creation_timestamp / 1000, dt.UTC),
        gates=found.tags.get(VERDICT_TAG),
    )


def verdict_of(report: GateReport) -> Verdict:
    """Return what a report says."""
    each = [
        GateVerdict(name=g.name, figure=g.figure, bound=g.bound, verdict=g.verdict, detail=g.detail)
        for g in report.gates
    ]
    return Verdict(
        version=report.version,
        passed=report.passed,
        failed=list(report.stopped),
        champion=report.champion,
        at=report.at,
        run_id=report.run_id,
        market=report.market,
        gates=each,
    )
