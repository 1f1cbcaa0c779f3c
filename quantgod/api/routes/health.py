"""Whether the server answers, and how old the newest signal is."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from quantgod.api.desk import AtDesk, Desk
from quantgod.api.journal import BARS, newest_row
from quantgod.contracts import MS_PER_MINUTE

router = APIRouter(tags=["Health"])


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok"] = Field(description="That it answers.")
    model: str = Field(description="NAME@ALIAS that it manages.")
    signal_age_seconds: float | None = Field(
        description="Since the end of the newest minute that a live session journaled a signal "
        "of, by this machine's clock, or of a simulated exchange by the session's last bar; null "
        "without a signal, or if the newest is of an earlier simulated session."
    )


@router.get("/api/health")
def health(desk: AtDesk) -> Health:
    """Return that the server answers, and the age of the newest signal in the live journal."""
    return Health(status="ok", model=f"{desk.name}@{desk.alias}", signal_age_seconds=_age(desk))


def _age(desk: Desk) -> float | None:
    newest, seconds = newest_row(desk.journal), MS_PER_MINUTE / 1000
    if newest is None:
        return None
    minute = int(newest["minute"])
    if desk.settings.live.exchange != "simulated":
        return time.time() - (minute + 1) * seconds
    bar = newest_row(desk.journal, BARS)
    if bar is None or bar["session"] != newest["session"]:
        return None
    return max(0.0, (int(bar["minute"]) - minute) * seconds)
