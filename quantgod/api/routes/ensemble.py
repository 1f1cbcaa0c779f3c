"""The ensemble in place: its members, and what callers report of them (document 001)."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from quantgod.api.answers import ABSENT, CONFLICT
from quantgod.api.change import weigh_by_reports
from quantgod.api.desk import AtDesk, Desk
from quantgod.api.journal import Which, newest_rows
from quantgod.api.members import InPlace, check_member, in_place
from quantgod.api.performance import Reported, keep_reported, last_reported
from quantgod.api.routes.signals import Signal, signal_of
from quantgod.api.routes.votes import weights_now
from quantgod.live.journal import JournalError

router = APIRouter(prefix="/api/ensemble", tags=["Ensemble"])

PRODUCTION = Which(role="Production")


class MemberStatus(BaseModel):
    """A member in short."""

    enabled: bool = Field(description="Whether it is a part of the version in place, and speaks.")
    disabled: str | None = Field(
        description="Why it abstains until it is enabled again; null of one that was not disabled."
    )
    weight: float | None = Field(description="As it was given; null of one that is not a part.")
    weight_now: float | None = Field(
        description="That the live session last heard it with; null if this version was not heard."
    )
    accuracy: float | None = Field(description="On the test part; null if it was not scored.")


class EnsembleStatus(BaseModel):
    """The ensemble in place."""

    version: int
    strategy: str
    total_models: int = Field(description="Members of the version's settings.")
    enabled_models: int = Field(description="Members that vote.")
    models: dict[str, MemberStatus] = Field(description="By name.")
    last_prediction: Signal | None = Field(
        description="The last signal in Production that a live session journaled."
    )


class Member(MemberStatus):
    """A member."""

    model_type: str = Field(description="Its name.")
    weight_at_registration: float | None = Field(
        description="After all outcomes that were known by then; as given where none move it."
    )
    min_confidence: float | None = Field(description="Below it, it is not heard.")
    network: str | None = Field(description="Its architecture; null if settings are not known.")
    window: int | None = Field(description="Minutes that it looks at.")
    reported: Reported | None = Field(description="The last performance that a caller reported.")


class Performance(BaseModel):
    """A member's performance, as a caller has measured it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model_type: Annotated[str, Field(max_length=100)] = Field(description="The member.")
    accuracy: float = Field(ge=0, le=1, strict=True, description="0 to 1.")
    profit_factor: float = Field(
        ge=0, le=1e9, strict=True, description="Gross profit over gross loss."
    )


class KeptReport(Reported):
    """A report that was kept, and what it has started."""

    change: str | None = Field(description="The job of `GET /api/ensemble/change`, if any.")


@router.get("/status", responses={**ABSENT, **CONFLICT})
def status(desk: AtDesk) -> EnsembleStatus:
    """Return the strategy and the members of the ensemble in place, and the last signal."""
    found = in_place(desk)
    members = {one.model_type: one for one in _members(desk, found)}
    return EnsembleStatus(
        version=int(found.version.version),
        strategy=found.strategy,
        total_models=len(members),
        enabled_models=sum(one.enabled for one in members.values()),
        models={
            name: MemberStatus.model_validate(one.model_dump()) for name, one in members.items()
        },
        last_prediction=_last(desk),
    )


@router.get("/models", responses={**ABSENT, **CONFLICT})
def models(desk: AtDesk) -> list[Member]:
    """Return the members of the ensemble in place, and those that its settings have besides."""
    return _members(desk, in_place(desk))


@router.post("/performance/update", responses={**ABSENT, **CONFLICT})
def performance(desk: AtDesk, said: Performance) -> KeptReport:
    """Keep a reported performance and show it beside the member. By itself it moves no weight.

    Weights move by matured outcomes, in every part and live alike. Where
    `manage.performance_moves_weights` says so, a version is tried that is weighted by the reports,
    once there is one of each member: as by `POST /api/ensemble/models/weight`, without waiting.
    """
    found = in_place(desk)
    check_member(found, said.model_type)
    version, manage = int(found.version.version), desk.settings.manage
    reported = Reported(**said.model_dump(), version=version, at=dt.datetime.now(dt.UTC))
    keep_reported(manage.folder, reported)
    job = weigh_by_reports(desk, found) if manage.performance_moves_weights else None
    return KeptReport(**reported.model_dump(), change=None if job is None else job.id)


def _last(desk: Desk) -> Signal | None:
    try:
        newest = next(newest_rows(desk.journal, PRODUCTION), None)
    except JournalError:
        return None
    return None if newest is None else signal_of(newest)


def _members(desk: Desk, found: InPlace) -> list[Member]:
    reported = last_reported(desk.settings.manage.folder)
    moved = weights_now(desk, int(found.version.version))
    names = list(dict.fromkeys([*found.combiner.members, *found.made_with]))
    return [_member(found, name, moved.get(name), reported.get(name)) for name in names]


def _member(found: InPlace, name: str, now: float | None, reported: Reported | None) -> Member:
    combiner, own = found.combiner, found.made_with.get(name)
    at = combiner.members.index(name) if name in combiner.members else None
    return Member(
        model_type=name,
        enabled=at is not None and name not in found.disabled,
        disabled=found.disabled.get(name),
        weight=None if at is None else combiner.weights[at],
        weight_now=now,
        weight_at_registration=None if at is None else float(combiner.now[at]),
        min_confidence=None if at is None else combiner.least[at],
        accuracy=found.accuracy(name),
        network=None if own is None else own.model.name,
        window=None if own is None else own.window.length,
        reported=reported,
    )
