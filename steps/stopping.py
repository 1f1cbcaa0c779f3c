"""End a step cleanly on Ctrl-C, with a line on what is kept and how to continue."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

NOTHING_KEPT = "nothing of this step is kept, and the same command begins it anew"
NOTHING_CHANGED = "nothing was changed"

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told(kept: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block cleanly, then the command with `Stopped: KEPT`.

    It exits with 130 after Ctrl-C, 143 after SIGTERM. `mlflow run` sends SIGTERM to a step that has
    already received Ctrl-C: after the first signal only another Ctrl-C interrupts the clean end.
    """
    came: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        if came and number == signal.SIGTERM:
            return
        came.append(number)
        raise KeyboardInterrupt

    # A process started in the background by a shell ignores Ctrl-C, and keeps ignoring it.
    heard = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nStopped: {kept}", err=True)
        raise SystemExit(128 + (came[0] if came else signal.SIGINT)) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
