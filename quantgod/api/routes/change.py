"""Change the ensemble in place: who votes, with which weight, and how (document 001)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from quantgod.api import fields
from quantgod.api.answers import (
    ABSENT,
    CONFLICT,
    Documented,
    GatesRefusal,
    refused,
    told_elsewhere,
)
from quantgod.api.change import begin_change, changed_stages, children_of
from quantgod.api.desk import AtDesk, Desk
from quantgod.api.job_runs import ended_how, run_of
from quantgod.api.jobs import Job
from quantgod.api.members import check_member, in_place
from quantgod.api.routes.deployments import Change
from quantgod.api.routes.versions import GateVerdict, verdict_of
from quantgod.api.seen import ETAG, IF_MATCH, SeenHead, tag_of
from quantgod.registry.changing import EnsembleChange
from quantgod.registry.deployments import deployments
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.registered import known_version
from quantgod.registry.switching import in_words, switch_member
from quantgod.registry.verdict import report_of
from quantgod.settings.ensemble import Strategy
from quantgod.tracking.keys import output_of
from quantgod.tracking.stage import HEADLINE_TAG

router = APIRouter(prefix="/api/ensemble", tags=["Ensemble"])

POLL_SECONDS: Final = 0.5
ASYNC: Final = "respond-async"
STATUS: Final = "/api/ensemble/change"

Name = Annotated[str, Field(max_length=100, description="The member.")]
Reason = Annotated[
    fields.Reason | None, Field(description="Why; it is recorded beside the change itself.")
]


class Enabling(BaseModel):
    """Whether a member speaks."""

    model_config = ConfigDict(extra="forbid")

    model_type: Name
    enabled: bool = Field(strict=True, description="False disables it from the next minute on.")
    reason: Reason = None


class Weighing(BaseModel):
    """A member's weight."""

    model_config = ConfigDict(extra="forbid")

    model_type: Name
    weight: fields.Weight = Field(description="Only the ratios of all weights count.")
    reason: Reason = None


class Combining(BaseModel):
    """How the members' forecasts become one."""

    model_config = ConfigDict(extra="forbid")

    strategy: Strategy = Field(description="By its name in the settings.")
    reason: Reason = None


class ChangeStage(BaseModel):
    """A stage of a change."""

    stage: str
    state: Literal["waiting", "running", "finished", "unchanged", "failed", "cancelled"] = Field(
        description="`unchanged`: an equal run was there."
    )
    seconds: float | None = Field(description="That it has run.")


class ChangeStatus(BaseModel):
    """The change that runs, or else the last one."""

    is_changing: bool
    state: Literal["none", "running", "promoted", "refused", "failed", "cancelled"] = Field(
        description="`refused`: by gates; what was in place is in place."
    )
    change: str | None = Field(description="In words.")
    reason: str | None = Field(description="That was given.")
    job: str | None = Field(description="Identifies it.")
    since: str | None = Field(description="ISO 8601, UTC.")
    run_id: str | None = Field(description="Its run in MLflow; null until that begins.")
    stages: list[ChangeStage] = Field(description="In order.")
    version: int | None = Field(description="That it has made.")
    over: int | None = Field(description="In place before, once it has ended.")
    gates: list[GateVerdict] = Field(description="Those that stop the version.")
    said: str | None = Field(description="How it has ended, in words.")


class ChangeRefusal(GatesRefusal):
    """A change that the present state or the gates do not allow."""

    version: int | None = Field(
        None, description="That it has made, which stays as it is, unpromoted."
    )
    gates: list[GateVerdict] = Field([], description="The gates that failed.")


REFUSED: Final[Documented] = {409: {**CONFLICT[409], "model": ChangeRefusal}}
BEGUN: Final[Documented] = {
    202: {
        "model": ChangeStatus,
        "description": "It has begun: asked for by `Prefer: respond-async`, or the server ends.",
        "headers": {"Location": {"description": "Of its state.", "schema": {"type": "string"}}},
    }
}
CHANGES: Final[Documented] = {200: ETAG, **BEGUN, **ABSENT, **REFUSED, **IF_MATCH}

Prefer = Annotated[
    str | None,
    Header(
        description="`respond-async` (RFC 7240): answer with 202 as soon as it has begun. Else the "
        "answer comes when it has ended, which takes minutes."
    ),
]


@router.post("/models/enable", response_model=Change, responses=CHANGES)
async def enable(
    desk: AtDesk, asked: Enabling, seen: SeenHead, request: Request, prefer: Prefer = None
) -> Response:
    """Disable a member of the version in place at once, or enable one.

    Disabled, it abstains from the next minute on in each live session that follows the alias,
    counts against the quorum, and is never NEUTRAL in its place. That is an entry of the ledger and
    belongs to the version: another one starts without it. Enabled again, the version is as its
    gates have judged it. A member that the version was made without votes in a new version, which
    goes through the gates; it was trained with the others and is not trained again.
    """
    done = await run_in_threadpool(at_once, desk, asked, seen)
    if done is not None:
        return done
    change = EnsembleChange(enabled={asked.model_type: True})
    return await _changed(desk, change, asked.reason, seen, request, prefer)


@router.post("/models/weight", response_model=Change, responses=CHANGES)
async def weight(
    desk: AtDesk, asked: Weighing, seen: SeenHead, request: Request, prefer: Prefer = None
) -> Response:
    """Give a member another weight: a new version of the same members, through the gates."""
    change = EnsembleChange(weights={asked.model_type: asked.weight})
    return await _changed(desk, change, asked.reason, seen, request, prefer)


@router.post("/strategy", response_model=Change, responses=CHANGES)
async def strategy(
    desk: AtDesk, asked: Combining, seen: SeenHead, request: Request, prefer: Prefer = None
) -> Response:
    """Combine the members otherwise: a new version of the same members, through the gates."""
    change = EnsembleChange(strategy=asked.strategy)
    return await _changed(desk, change, asked.reason, seen, request, prefer)


@router.get("/change")
def status(desk: AtDesk) -> ChangeStatus:
    """Return how far the change is, stage by stage, or how the last one has ended."""
    job = desk.changes.last()
    return _none() if job is None else _of(desk, job)


@router.post("/change/cancel", status_code=202, responses=CONFLICT)
def cancel(desk: AtDesk) -> ChangeStatus:
    """Ask the change to end; what is in place stays, and finished stages are kept.

    A second call kills it with all its children.
    """
    return _of(desk, desk.changes.cancel())


def at_once(desk: Desk, asked: Enabling, seen: str) -> Response | None:
    """Disable a member, or enable it again; None if it takes another version."""
    found, member = in_place(desk), asked.model_type
    if asked.enabled and member not in found.combiner.members:
        return None
    check_member(found, member)
    entry = switch_member(
        desk.name, desk.alias, member, enabled=asked.enabled,
        reason=asked.reason or "", client=desk.client, seen=seen,
    )  # fmt: skip
    ledger = LedgerRun(desk.client, desk.name, desk.alias).read()
    said = in_words(found.version, member, ledger.disabled(entry.version))
    done = {"version": entry.version, "over": entry.over, "said": said}
    return JSONResponse(done, 200, {"ETag": tag_of(ledger.head)})


async def _changed(
    desk: Desk,
    change: EnsembleChange,
    reason: str | None,
    seen: str,
    request: Request,
    prefer: str | None,
) -> Response:
    """Start a change, and wait for its end without holding a thread, unless that is not wanted."""
    job = await run_in_threadpool(begin_change, desk, change, seen, reason)
    wanted = {one.partition(";")[0].strip().lower() for one in (prefer or "").split(",")}
    if ASYNC in wanted:
        return await run_in_threadpool(_begun, desk, job, **{"Preference-Applied": ASYNC})
    try:
        while await run_in_threadpool(desk.changes.is_running, job):
            if await request.is_disconnected():
                break
            await asyncio.sleep(POLL_SECONDS)
    except asyncio.CancelledError:  # this server ends, and waits for nothing any more
        return _begun(desk, job)
    return await run_in_threadpool(_ended, desk, job)


def _begun(desk: Desk, job: Job, **headers: str) -> Response:
    said = _of(desk, job).model_dump(mode="json")
    return JSONResponse(said, 202, {"Location": STATUS, **headers})


def _ended(desk: Desk, job: Job) -> Response:
    """Return what is in place after a change, or why it is not."""
    said = _of(desk, job)
    if said.state == "promoted":
        head = deployments(desk.client, desk.name, desk.alias).head
        change = {"version": said.version, "over": said.over, "said": said.said}
        return JSONResponse(change, 200, {"ETag": tag_of(head)})
    if said.state != "refused":
        return told_elsewhere(said.said or f"the change was {said.state}", f"change_{said.state}")
    gates = [gate.model_dump() for gate in said.gates]
    more = {"failed": [gate.name for gate in said.gates], "version": said.version, "gates": gates}
    return refused(409, "gates_failed", said.said or "", None, **more)


def _of(desk: Desk, job: Job) -> ChangeStatus:
    is_running, run = desk.changes.is_running(job), run_of(desk.client, job, "change")
    state, said = ("running", None) if is_running else ended_how(desk.changes, job, run)
    told: dict[str, Any] = {}
    if run is not None:
        children = children_of(desk.client, run)
        stages = changed_stages(children, state)
        told = {"stages": [one._asdict() for one in stages], "run_id": run.info.run_id}
        made = children.get("register")
        if made is not None and made.info.status == "FINISHED":
            told["version"] = output_of(made, "version")["version"]
    if run is not None and state == "finished":
        told |= _result(desk, output_of(run, "version", "over", "failed"))
        said = run.data.tags.get(HEADLINE_TAG)
    known = {"is_changing": is_running, "state": state, "job": job.id, "since": job.since}
    return _none().model_validate(_none().model_dump() | known | job.asked | {"said": said} | told)


def _result(desk: Desk, made: dict[str, str]) -> dict[str, Any]:
    """Return what came of a change whose stages have all finished."""
    told: dict[str, Any] = {"version": made["version"], "over": made["over"], "state": "promoted"}
    if made["failed"]:
        report = report_of(known_version(desk.client, desk.name, int(made["version"])))
        stop = [gate for gate in verdict_of(report).gates if gate.name in report.stopped]
        told |= {"state": "refused", "gates": [gate.model_dump() for gate in stop]}
    return told


def _none() -> ChangeStatus:
    empty = dict.fromkeys(ChangeStatus.model_fields)
    known = {"is_changing": False, "state": "none", "stages": [], "gates": []}
    return ChangeStatus.model_validate(empty | known)
