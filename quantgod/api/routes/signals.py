"""Signals of live sessions: the newest, of a stretch of time, and as they come."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from quantgod.api.answers import ABSENT
from quantgod.api.desk import AtDesk
from quantgod.api.journal import DAY, Follower, Row, Which, latest_signals, signals_between
from quantgod.contracts import SYMBOL

router = APIRouter(prefix="/api/signals", tags=["Signals"])

POLL_SECONDS: Final = 0.5
MOST: Final = 10_000
_MINUTE: Final = 60


def _written(value: Any) -> Any:
    """Refuse a number as a time: only a text with a date is as the description says."""
    if isinstance(value, str) and "-" not in value.lstrip("-"):
        raise ValueError("a time as in RFC 3339 expected: 2025-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written)]


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


class Signals(BaseModel):
    """Signals in order of time."""

    signals: list[Signal]
    following: dt.datetime | None = Field(
        description="Where the next call goes on (`since`), if there are more; else null."
    )


def _which(
    symbol: Annotated[
        str | None, Query(pattern=f"^{SYMBOL}$", description="Of this symbol alone.")
    ] = None,
    role: Annotated[
        str | None,
        Query(pattern="^[A-Za-z0-9_-]+$", description="Production or Challenger alone."),
    ] = None,
) -> Which:
    return Which(symbol, role)


Chosen = Annotated[Which, Depends(_which)]


@router.get("/latest", responses=ABSENT)
def latest(desk: AtDesk, which: Chosen) -> list[Signal]:
    """Return the signals of the newest minute, one of each symbol and role, if there is one."""
    return [signal_of(row) for row in latest_signals(desk.journal, which)]


@router.get("", responses=ABSENT)
def by_time(
    desk: AtDesk,
    which: Chosen,
    since: Annotated[Moment | None, Query(description="From this time on; else of a day.")] = None,
    until: Annotated[
        Moment | None, Query(description="Before this time; else to the last.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MOST, description="So many, but whole minutes.")] = 1000,
) -> Signals:
    """Return the signals of a stretch of time, the oldest first."""
    end = dt.datetime.now(dt.UTC).timestamp() if until is None else until.timestamp()
    begin = end - DAY * _MINUTE if since is None else since.timestamp()
    rows = signals_between(desk.journal, which, _minute(begin), _minute(end))
    page, following = _page(rows, limit)
    return Signals(signals=[signal_of(row) for row in page], following=following)


def _follower(
    desk: AtDesk,
    which: Chosen,
    last_event_id: Annotated[
        str | None,
        Header(
            pattern=r"^\d{1,12}$",
            description="Epoch minute of the last event that came, as browsers send it when they "
            "connect again: from that minute on all is told, at most of a day.",
        ),
    ] = None,
) -> Follower:
    """Return what tells the signals from now on: before the answer begins, so that none is lost."""
    return Follower(desk.journal, which, None if last_event_id is None else int(last_event_id))


@router.get("/stream", response_class=EventSourceResponse)
async def stream(
    follower: Annotated[Follower, Depends(_follower)],
) -> AsyncIterator[ServerSentEvent]:
    """Tell each signal as it is journaled, as events `signal` with the data of a signal."""
    while True:
        for row in await run_in_threadpool(follower.news):
            yield ServerSentEvent(data=signal_of(row), event="signal", id=str(row["minute"]))
        await asyncio.sleep(POLL_SECONDS)


def signal_of(row: Row) -> Signal:
    """Return a row of the journal as a signal."""
    kept = {name: value for name, value in row.items() if name not in ("minute", "session")}
    return Signal.model_validate(kept)


def _minute(seconds: float) -> int:
    """Return the first whole epoch minute at or after a time."""
    return int(-(-seconds // _MINUTE))


def _page(rows: list[Row], limit: int) -> tuple[list[Row], dt.datetime | None]:
    """Return the first rows, whole minutes and at least one, and the minute of the next ones."""
    if len(rows) <= limit:
        return rows, None
    first, cut = rows[0]["minute"], rows[limit]["minute"]
    if cut == first:
        cut = next((row["minute"] for row in rows if row["minute"] > first), None)
    page = rows if cut is None else [row for row in rows if row["minute"] < cut]
    return page, None if cut is None else dt.datetime.fromtimestamp(cut * _MINUTE, dt.UTC)
