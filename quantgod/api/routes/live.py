"""The live session: what it has last told of its books, members, drift and versions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, ValidationError

from quantgod.api.answers import ABSENT, AbsentError
from quantgod.api.desk import AtDesk
from quantgod.live.view.status_file import read_status
from quantgod.settings import command

router = APIRouter(prefix="/api/live", tags=["Live"])


class LiveSymbol(BaseModel):
    """One symbol of a live session."""

    symbol: str
    book: str = Field(description="Since when its book is right, or why it is withdrawn.")
    is_synced: bool = Field(description="Whether its book is right.")
    lag_ms: float | None = Field(
        description="Local clock minus exchange time at the last update; null on a simulated one."
    )
    last_bar: str = Field(description="The last closed minute in words.")
    minute: int | None = Field(description="Its epoch minute.")
    close: float | None = Field(description="Its close; null without a row.")
    signal: str = Field(description="The last signal in words.")
    missing: int = Field(description="Minutes until there can be a signal; 0 if there can.")
    warming: int = Field(description="Those of them for the past of the 112 features.")
    cold: dict[str, int] = Field(
        description="Minutes until each member can speak, of those that cannot yet."
    )
    votes: dict[str, str] = Field(description="What each member said last, or why it abstained.")
    model: str = Field(description="Registered model that answers.")
    version: int | None = Field(description="Its version; null before there is one.")
    shadow: int | None = Field(description="Version that answers in shadow.")
    shadow_missing: int = Field(description="Minutes until that one can answer.")
    drift: str = Field(description="The last hourly check in words; empty before one.")
    verdicts: dict[str, str] = Field(
        description="Its verdicts: by feature, by probability, and by member (`near/sell`): "
        "stable, drift, offset, level or unknown."
    )
    blockless: int = Field(description="Minutes whose snapshots of the book were not whole.")


class Live(BaseModel):
    """The last status of a live session, which it writes each second."""

    is_running: bool = Field(description="Whether its process runs.")
    at: dt.datetime = Field(description="When it was told, UTC.")
    age_seconds: float = Field(description="Since then.")
    title: str = Field(description="What runs, on which exchange.")
    symbols: list[LiveSymbol]
    loop_lag_ms: float = Field(description="Lag of its event loop, p99 of the newest minute.")
    journal: str = Field(description="Journaled rows, or what is wrong with the journal.")
    note: str = Field(description="Its last warning; empty if there was none.")


@router.get("", responses=ABSENT)
def live(desk: AtDesk) -> Live:
    """Return what the live session has last told of itself, also after it has ended."""
    said: dict[str, Any] | None = read_status(desk.journal)
    if said is None:
        start = command("live", f"--exchange {desk.settings.live.exchange}")
        raise AbsentError(
            f"{desk.journal}: no live session has told of itself; `{start}` starts one"
        )
    age = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(said["at"])).total_seconds()
    try:
        return Live.model_validate({**said, "age_seconds": max(0.0, age)})
    except ValidationError:
        raise AbsentError(
            f"{desk.journal}: its live session is of another version of quantgod: start it anew"
        ) from None
