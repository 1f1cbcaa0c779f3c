"""Deployments of the alias: what was in place, promotion and rollback, as the steps do them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from quantgod.api.answers import ABSENT, CONFLICT
from quantgod.api.desk import AtDesk, Desk
from quantgod.api.fields import WHOLE, Reason
from quantgod.api.seen import ETAG, IF_MATCH, SeenHead, tag_of
from quantgod.gates import bounds_digest
from quantgod.registry import deployments as told
from quantgod.registry.ledger import Entry
from quantgod.registry.own_settings import own_judging
from quantgod.registry.promotion import Grounds, in_words, promote
from quantgod.registry.registered import known_version
from quantgod.registry.rollback import UNDONE, roll_back

router = APIRouter(prefix="/api/deployments", tags=["Deployments"])


Number = Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]
FORCED: Final[dict[str, Any]] = {"properties": {"force": {"const": True}}, "required": ["force"]}
HAS_REASON: Final[dict[str, Any]] = {
    "properties": {"reason": {"type": "string"}},
    "required": ["reason"],
}


class GatesResult(BaseModel):
    """What the gates said when a version was promoted."""

    passed: int = Field(description="How many passed.")
    failed: list[str] = Field(description="Names of those that failed.")
    run_id: str = Field(description="The judging run.")


class MemberChange(BaseModel):
    """A member that was disabled, or enabled again, while its version was in place."""

    member: str
    enabled: bool
    at: str = Field(description="ISO 8601, UTC.")
    by: str
    why: str


class Deployment(BaseModel):
    """A version that was in place, from when to when."""

    version: int | None
    semantic_version: str | None
    since: str = Field(description="ISO 8601, UTC.")
    noticed: bool = Field(description="Whether `since` is only when it was noticed.")
    until: str | None = Field(description="Null of the version in place.")
    how: str = Field(description="promoted, rolled back, or MOVED BY OTHER MEANS.")
    by: str
    why: str
    forced_over: str | None = Field(description="What was overridden by force.")
    gates: GatesResult | None
    lineage: dict[str, str] = Field(description="Runs and data that it was made of.")
    members: list[MemberChange] = Field(description="Disabled and enabled meanwhile.")


class Deployments(BaseModel):
    """The history of an alias, by its ledger."""

    model: str
    alias: str
    version: int | None = Field(description="In place now.")
    deployments: list[Deployment] = Field(description="Oldest first.")
    under_way: int | None = Field(description="Version whose move has begun and not ended.")
    trouble: str = Field(description="What is wrong with the alias; empty if nothing.")


class Promotion(BaseModel):
    """The version to put in place."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"if": FORCED, "then": HAS_REASON})

    version: Number = Field(description="Its number.")
    force: bool = Field(False, strict=True, description="Although its gates have not passed.")
    reason: Reason | None = Field(
        None, validate_default=True, description="Why; it is recorded. Required with `force`."
    )

    @field_validator("reason")
    @classmethod
    def _force_needs_a_reason(cls, reason: str | None, said: ValidationInfo) -> str | None:
        if reason is None and said.data.get("force"):
            raise ValueError("a forced promotion needs one")
        return reason


class Rollback(BaseModel):
    """Where to go back to."""

    model_config = ConfigDict(extra="forbid")

    version: Number | None = Field(None, description="Else the one that was in place before.")
    reason: Reason | None = Field(None, description="Why; it is recorded.")


class Change(BaseModel):
    """What a change has done."""

    version: int = Field(description="In place now.")
    over: int | None = Field(description="In place before.")
    said: str = Field(description="In words.")


@router.get("", responses={200: ETAG, **ABSENT, **CONFLICT})
def deployments(desk: AtDesk, response: Response) -> Deployments:
    """Return what was in place, from when to when, by whom and why; ETag is for a change of it."""
    found = told.deployments(desk.client, desk.name, desk.alias)
    response.headers["ETag"] = tag_of(found.head)
    rows = [_row(row) for row in found.rows()]
    return Deployments(
        model=desk.name,
        alias=desk.alias,
        version=rows[-1].version if rows and rows[-1].until is None else None,
        deployments=rows,
        under_way=None if found.under_way is None else found.under_way.version,
        trouble=found.trouble,
    )


@router.post("/promote", responses={200: ETAG, **ABSENT, **CONFLICT, **IF_MATCH})
def promotion(desk: AtDesk, asked: Promotion, seen: SeenHead, response: Response) -> Change:
    """Put a version in place whose gates passed and that answers in a fresh process.

    The same rules, gates and ledger as `python -m steps.promote`. Takes seconds.
    """
    found = known_version(desk.client, desk.name, asked.version)
    own = own_judging(found, desk.settings, {}, force=asked.force)
    why = Grounds(asked.reason or "", asked.force, None, bounds_digest(own.gates))
    done = promote(desk.name, asked.version, desk.alias, why, client=desk.client, seen=seen)
    over = done.over if done is not None else asked.version
    said = in_words(desk.name, desk.alias, asked.version, done)
    return _changed(desk, response, Change(version=asked.version, over=over, said=said))


@router.post("/rollback", responses={200: ETAG, **ABSENT, **CONFLICT, **IF_MATCH})
def rollback(desk: AtDesk, asked: Rollback, seen: SeenHead, response: Response) -> Change:
    """Put the version before, or a named one that was in place, back into place.

    The same rules and ledger as `python -m steps.rollback`.
    """
    reason = asked.reason or UNDONE
    done = roll_back(desk.name, desk.alias, asked.version, reason, client=desk.client, seen=seen)
    return _changed(desk, response, _of(desk, done))


def _of(desk: Desk, done: Entry) -> Change:
    version = done.version or 0
    said = f"{desk.name} {version} is {desk.alias} instead of {done.over}: rolled back"
    return Change(version=version, over=done.over, said=said)


def _changed(desk: Desk, response: Response, change: Change) -> Change:
    """Add the ETag of the deployments as they are now."""
    found = told.deployments(desk.client, desk.name, desk.alias)
    response.headers["ETag"] = tag_of(found.head)
    return change


def _row(row: dict[str, Any]) -> Deployment:
    gates = row["gates"]
    result = gates and GatesResult(
        passed=gates.passed, failed=list(gates.failed), run_id=gates.run_id
    )
    return Deployment.model_validate({**row, "since": row["from"], "gates": result})
