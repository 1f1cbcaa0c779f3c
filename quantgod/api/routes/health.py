"""Whether the server answers, and how old the newest signal is."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from quantgod.api.desk import AtDesk
from quantgod.api.journal import newest_minute
from quantgod.contracts import MS_PER_MINUTE

router = APIRouter(tags=["Health"])


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok"] = Field(description="That it answers.")
    model: str = Field(description="NAME@ALIAS that it manages.")
    signal_age_seconds: float | None = Field(
        description="Since the end of the newest minute that a live session journaled a signal "
        "of, by this machine's clock; null without a journal or a signal in it."
    )


@router.get("/api/health")
def health(desk: AtDesk) -> Health:
    """Return that the server answers, and the age of the newest signal in the live journal."""
    minute = newest_minute(desk.journal)
    age = None if minute is None else time.time() - (minute + 1) * MS_PER_MINUTE / 1000
    return Health(status="ok", model=f"{desk.name}@{desk.alias}", signal_age_seconds=age)
