"""Keep what callers report of the members' performance. It is shown, and by itself moves no weight.

Weights move by matured outcomes, which the journal of a live session and the test part have.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field

PERFORMANCE_FILE: Final = "performance.jsonl"


class Reported(BaseModel):
    """What a caller has reported of a member."""

    model_type: str = Field(description="The member.")
    accuracy: float = Field(description="0 to 1.")
    profit_factor: float = Field(description="Gross profit over gross loss.")
    version: int = Field(description="In place when it was reported.")
    at: dt.datetime = Field(description="When, UTC.")


def keep_reported(folder: Path, said: Reported) -> None:
    """Append a report to the file, in one write, and sync it."""
    folder.mkdir(parents=True, exist_ok=True)
    line = f"{said.model_dump_json()}\n".encode()
    opened = os.open(folder / PERFORMANCE_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(opened, line)
        os.fsync(opened)
    finally:
        os.close(opened)


def last_reported(folder: Path) -> dict[str, Reported]:
    """Return the last report of each member; a line that a crash has cut is left out."""
    try:
        lines = (folder / PERFORMANCE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    each = [Reported.model_validate(one) for line in lines if (one := _parsed(line)) is not None]
    return {one.model_type: one for one in each}


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
