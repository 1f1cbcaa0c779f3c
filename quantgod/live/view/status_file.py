"""Keep a session's status in a file beside its journal, for programs that show it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from quantgod.live.view.status import Status
from quantgod.settings import without_passwords
from quantgod.tracking.orphans import process_is_gone, process_tag

STATUS_FILE: Final = "status.json"
EVERY_SECONDS: Final = 1.0


async def keep_status(status: Callable[[], Status], folder: Path) -> None:
    """Write `status()` each second until cancelled. On a full disk the file stays as it was."""
    process = process_tag()
    while True:
        at = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        values = without_passwords({"at": at, "process": process, **status().as_values()})
        said = msgspec.json.encode(values)
        with suppress(OSError):
            await asyncio.to_thread(_replace, folder / STATUS_FILE, said)
        await asyncio.sleep(EVERY_SECONDS)


def read_status(folder: Path) -> dict[str, Any] | None:
    """Return the last status, and whether its session `is_running`; None if there was none."""
    try:
        said: dict[str, Any] = msgspec.json.decode((folder / STATUS_FILE).read_bytes())
    except FileNotFoundError:
        return None
    return said | {"is_running": not process_is_gone(said["process"])}


def _replace(path: Path, said: bytes) -> None:
    """Replace a file: a reader sees the old one or the new one. It need not survive a power cut."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(said)
    part.replace(path)
