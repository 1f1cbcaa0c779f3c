"""Let one of several equal runs at a time work in the folder that equal runs share."""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

KEEPS_WORK: Final = frozenset(
    {"train", "audit", "forecast", "forecast_power", "power", "power_curve", "intervals"}
)
"""Stages that keep checkpoints and parts of their result, where an equal run goes on from them."""


class EqualRunError(RuntimeError):
    """An equal run is in progress; the message names it."""


@contextmanager
def alone(place: Path, run_id: str) -> Iterator[None]:
    """Refuse a second run that would write to `place`; the lock ends with its process.

    Raises:
        EqualRunError: with the other run, since when it works, and what to do.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise _refusal(lock.read() or "another run") from None
        lock.truncate(0)
        lock.write(f"run {run_id} since {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} UTC")
        lock.flush()
        yield


def _refusal(whose: str) -> EqualRunError:
    return EqualRunError(
        f"the same is being done by {whose}: both would write the same checkpoints, so this one "
        "ends here. Wait for the other, whose result is taken by the stages after it; or stop it, "
        "and this command goes on where it stopped"
    )
