"""Signals of live sessions: the newest, of a stretch of time, and as they come."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from quantgod.api.answers import ABSENT
from quantgod.api.desk import AtDesk
from quantgod.api.fields import Like, Symbol
from quantgod.api.journal import Follower, Row, Which, latest_rows, rows_between
from quantgod.api.stretch import Asked, Paged
from quantgod.live.engine.question import Role

router = APIRouter(prefix="/api/signals", tags=["Signals"])

POLL_SECONDS: Final = 0.5
Epoch = Annotated[str, Like("[0-9]{1,12}", "an epoch minute of at most 12 digits expected")]


class Signal(BaseModel):
    """The answer of a version to one minute, as the live session journaled it.

    Further columns of the journal are given as they are.
    """

    model_config = ConfigDict(extra="allow")

    datetime: dt.datetime = Field(description="The minute that ends the window, UTC.")
    symbol: str
    role: str = Field(description="Production, or Challenger for one in shadow.")
    model: str | None = Field(description="Registered model; null in older rows.")
    version: int | None = Field(description="Its version.")
    action: str | None = Field(description="What to act on: SELL, NEUTRAL or BUY.")
    signal: str | None = Field(description="The decided class, which `action` may abstain from.")
    abstention: str | None = Field(description="Why it is not acted on; empty if it is.")
    prob_sell: float | None = Field(description="Audited probability, as the next two.")
    prob_neutral: float | None
    prob_buy: float | None
    uncertainty: float | None = Field(description="0 to 1.")
    base_confidence: float | None = Field(description="Null of versions that do not tell it.")
    latency_ms: float | None = Field(description="From the minute's last message to this row.")


class Signals(Paged):
    """Signals in order of time."""

    signals: list[Signal]


def _which(
    symbol: Annotated[Symbol | None, Query(description="Of this symbol alone.")] = None,
    role: Annotated[Role | None, Query(description="Of this role alone.")] = None,
) -> Which:
    return Which(symbol, role)


Chosen = Annotated[Which, Depends(_which)]


@router.get("/latest", responses=ABSENT)
def latest(desk: AtDesk, which: Chosen) -> list[Signal]:
    """Return the signals of the newest minute, one of each symbol and role, if there is one."""
    return [signal_of(row) for row in latest_rows(desk.journal, which)]


@router.get("", responses=ABSENT)
def by_time(desk: AtDesk, which: Chosen, asked: Asked) -> Signals:
    """Return the signals of a stretch of time, the oldest first."""
    rows = rows_between(desk.journal, which, asked.since, asked.until)
    page, following = asked.page(rows)
    return Signals(signals=[signal_of(row) for row in page], following=following)


def _follower(
    desk: AtDesk,
    which: Chosen,
    last_event_id: Annotated[
        Epoch | None,
        Header(
            description="Epoch minute of the last event that came, as browsers send it when they "
            "connect again: from that minute on all is told, at most of a day.",
        ),
    ] = None,
) -> Follower:
    """Return what tells the signals from now on: before the answer begins, so that none is lost."""
    return Follower(desk.journal, which, None if last_event_id is None else int(last_event_id))


@router.get("/stream", response_class=EventSourceResponse)
async def stream(
    desk: AtDesk, follower: Annotated[Follower, Depends(_follower)]
) -> AsyncIterator[ServerSentEvent]:
    """Tell each signal as it is journaled, as events `signal` with the data of a signal."""
    while not desk.ending.is_set():
        for row in await run_in_threadpool(follower.news):
            yield ServerSentEvent(data=signal_of(row), event="signal", id=str(row["minute"]))
        await asyncio.sleep(POLL_SECONDS)


def signal_of(row: Row) -> Signal:
    """Return a row of the journal as a signal."""
    kept = {name: value for name, value in row.items() if name not in ("minute", "session")}
    return Signal.model_validate(kept)
