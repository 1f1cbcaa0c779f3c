"""Keep what callers report of the members' performance. It is shown, and by itself moves no weight.

Weights move by matured outcomes, which the journal of a live session and the test part have.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field

from quantgod.api.lines import append_line, lines_of

PERFORMANCE_FILE: Final = "performance.jsonl"


class Reported(BaseModel):
    """What a caller has reported of a member."""

    model_type: str = Field(description="The member.")
    accuracy: float = Field(description="0 to 1.")
    profit_factor: float = Field(description="Gross profit over gross loss.")
    version: int = Field(description="In place when it was reported.")
    at: dt.datetime = Field(description="When, UTC.")


def keep_reported(folder: Path, said: Reported) -> None:
    """Append a report to the file."""
    append_line(folder / PERFORMANCE_FILE, said.model_dump_json().encode())


def last_reported(folder: Path) -> dict[str, Reported]:
    """Return the last report of each member; a line that a crash has cut is left out."""
    lines = lines_of(folder / PERFORMANCE_FILE)
    each = [Reported.model_validate(one) for line in lines if (one := _parsed(line)) is not None]
    return {one.model_type: one for one in each}


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
