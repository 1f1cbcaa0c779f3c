"""Tell of the live session: its status, and the newest minute's signals and votes."""

from __future__ import annotations

from typing import Any

from quantgod.api.desk import Desk
from quantgod.api.journal import Which
from quantgod.api.routes import live as status
from quantgod.api.routes import signals, votes
from quantgod.live.journal import JournalError


def live(desk: Desk) -> dict[str, Any]:
    """Return what the live session has last told, and the last signals and votes.

    Raises:
        AbsentError: if no session has told of itself.
    """
    told = status.live(desk)
    try:
        said = signals.latest(desk, Which())
    except JournalError:
        said = []
    try:
        panels = votes.latest(desk, Which())
    except JournalError:
        panels = []
    return {"live": told, "signals": said, "panels": panels}
