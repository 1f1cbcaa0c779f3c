"""Votes of the members in live sessions, with the weights that they were heard with."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from quantgod.api.answers import ABSENT
from quantgod.api.desk import AtDesk, Desk
from quantgod.api.journal import VOTES, Row, Which, latest_rows, newest_rows, rows_between
from quantgod.api.routes.signals import Chosen
from quantgod.api.stretch import Asked, Paged
from quantgod.live.journal import JournalError

router = APIRouter(prefix="/api/ensemble/votes", tags=["Ensemble"])

BY_MEMBER: Final = (
    *("absent", "sell", "neutral", "buy"),
    *("confidence", "expected_return", "weight", "contribution"),
)
NEWEST: Final = 16
"""So many rows are looked through for the newest of a version: those of some symbols and roles."""


class MemberVote(BaseModel):
    """What a member said of a minute; null where an absent one says nothing."""

    model_type: str = Field(description="Its name.")
    absent: str = Field(description="Why it says nothing, a code and words; empty if it speaks.")
    sell: float | None = Field(description="Probability, as the next two.")
    neutral: float | None
    buy: float | None
    confidence: float | None = Field(description="That the class that it decides on is right.")
    expected_return: float | None = Field(description="Null of a member that tells none.")
    weight: float | None = Field(description="That it was heard with; only ratios count.")
    contribution: float | None = Field(description="Its share in the probability of `vote`.")


class MinuteVotes(BaseModel):
    """The votes of a version's members on one minute, as the live session journaled them."""

    datetime: dt.datetime = Field(description="The minute that ends the windows, UTC.")
    symbol: str
    role: str = Field(description="Production, or Challenger for one in shadow.")
    model: str = Field(description="Registered model.")
    version: int = Field(description="Its version.")
    session: int = Field(description="Number of the live session, from 1.")
    vote: str = Field(description="The class that they decide on; empty below the quorum.")
    agreement: float | None = Field(description="Share of the speaking members that say it.")
    meta_confidence: float | None = Field(description="1 less the members' mean deviation.")
    should_trade: bool = Field(description="Whether they would trade on it.")
    members: list[MemberVote] = Field(description="In the version's order.")


class Votes(Paged):
    """Votes in order of time."""

    votes: list[MinuteVotes]


@router.get("/latest", responses=ABSENT)
def latest(desk: AtDesk, which: Chosen) -> list[MinuteVotes]:
    """Return the votes on the newest minute, of each symbol and role, if there are any."""
    return [votes_of(row) for row in latest_rows(desk.journal, which, VOTES)]


@router.get("", responses=ABSENT)
def by_time(desk: AtDesk, which: Chosen, asked: Asked) -> Votes:
    """Return the votes and weights of a stretch of time, the oldest first."""
    rows = rows_between(desk.journal, which, asked.since, asked.until, VOTES)
    page, following = asked.page(rows)
    return Votes(votes=[votes_of(row) for row in page], following=following)


def votes_of(row: Row) -> MinuteVotes:
    """Return a row of the journal as votes."""
    each = zip(*(row[name] for name in ("members", *BY_MEMBER)), strict=True)
    names = ("model_type", *BY_MEMBER)
    members: list[dict[str, Any]] = [dict(zip(names, one, strict=True)) for one in each]
    return MinuteVotes.model_validate({**row, "members": members})


def weights_now(desk: Desk, version: int) -> dict[str, float]:
    """Return the weights that the members of a version were last heard with in production."""
    try:
        newest = list(islice(newest_rows(desk.journal, Which(role="Production"), VOTES), NEWEST))
    except JournalError:
        return {}
    own = (row for row in newest if (row["model"], row["version"]) == (desk.name, version))
    row = next(own, None)
    return {} if row is None else dict(zip(row["members"], row["weight"], strict=True))
