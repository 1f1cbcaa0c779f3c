"""Closed minutes of live sessions: what a chart of the price needs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from quantgod.api.answers import ABSENT
from quantgod.api.desk import AtDesk
from quantgod.api.fields import Symbol
from quantgod.api.journal import BARS, Which, latest_rows, rows_between
from quantgod.api.stretch import Asked, Paged

router = APIRouter(prefix="/api/bars", tags=["Bars"])


class Bar(BaseModel):
    """A closed minute, as the live session journaled it."""

    datetime: dt.datetime = Field(description="The minute's start, UTC.")
    symbol: str
    close: float | None = Field(description="Last micro-price; null of a minute without a row.")
    reason: str | None = Field(description="Why the minute has no row; empty if it has one.")
    session: int = Field(description="Number of the live session, from 1.")


class Bars(Paged):
    """Bars in order of time."""

    bars: list[Bar]


def _of(
    symbol: Annotated[Symbol | None, Query(description="Of this symbol alone.")] = None,
) -> Which:
    return Which(symbol)


Chosen = Annotated[Which, Depends(_of)]


@router.get("/latest", responses=ABSENT)
def latest(desk: AtDesk, which: Chosen) -> list[Bar]:
    """Return the bars of the minute that was closed last, one of each symbol."""
    return [Bar.model_validate(row) for row in latest_rows(desk.journal, which, BARS)]


@router.get("", responses=ABSENT)
def by_time(desk: AtDesk, which: Chosen, asked: Asked) -> Bars:
    """Return the bars of a stretch of time, the oldest first."""
    rows = rows_between(desk.journal, which, asked.since, asked.until, BARS)
    page, following = asked.page(rows)
    return Bars(bars=[Bar.model_validate(row) for row in page], following=following)
