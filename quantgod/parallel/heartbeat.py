"""Send messages from workers to their command while they work, and end workers it has abandoned.

Workers and the command share a folder: each worker appends lines of JSON to a file of its own
there, and the command keeps writing a heartbeat. So it works alike for processes and for a cluster,
whose workers cannot be ended from outside.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

Message = dict[str, Any]
OnMessage = Callable[[Message], None]

LOOK_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 1.0
PULSE_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 60.0
"""A worker ends after so long without a heartbeat: its command was killed."""

_PULSE: Final = "pulse"


class AbandonedError(RuntimeError):
    """The command that a worker works for has ended or was killed."""


@contextmanager
def listening(folder: Path, on_message: OnMessage) -> Iterator[Path]:
    """Yield a new folder below `folder` in which `Reporter`s write; it is removed after the block.

    Args:
        folder: seen by all workers under the same path.
        on_message: called with each message, by a thread; those of one worker come in order. An
            exception that it raises is raised after the block.
    """
    place = folder / f"messages-{secrets.token_hex(8)}"
    place.mkdir(parents=True)
    listener = _Listener(place, on_message)
    listener.start()
    try:
        yield place
    finally:
        listener.end()
        shutil.rmtree(place, ignore_errors=True)
    if listener.error is not None:
        raise listener.error


class Reporter:
    """Sends a worker's messages to its command.

    Args:
        place: the folder that `listening` yields.
        name: of the worker's file there.
    """

    def __init__(self, place: Path, name: str) -> None:
        self._place, self._lines = place, place / f"{name}.jsonl"
        self._beat = time.monotonic()
        self._looked = self._beat - REPORT_SECONDS
        self._pulse = ""

    def report(self, message: Message) -> None:
        """Send a message that JSON can write.

        Raises:
            AbandonedError: if the command has ended.
        """
        try:
            with self._lines.open("a", encoding="utf-8") as lines:
                lines.write(f"{json.dumps(message)}\n")
        except FileNotFoundError:
            raise AbandonedError("the command that asked for this work has ended") from None

    def report_now_and_then(self, message: Message) -> None:
        """Send a message, at most one a second, and check the command's heartbeat.

        Raises:
            AbandonedError: if the command has ended, or was killed a minute ago.
        """
        now = time.monotonic()
        if now - self._looked < REPORT_SECONDS:
            return
        self._looked = now
        self.report(message)
        pulse = (self._place / _PULSE).read_text() if (self._place / _PULSE).exists() else ""
        if pulse != self._pulse:
            self._pulse, self._beat = pulse, now
        elif now - self._beat > PATIENCE_SECONDS:
            raise AbandonedError("the command that asked for this work was killed")


class _Listener(Thread):
    """Writes the heartbeat and reads the workers' messages."""

    def __init__(self, place: Path, on_message: OnMessage) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self._place, self._on_message = place, on_message
        self._ended = Event()
        self._read: dict[Path, int] = {}

    def end(self) -> None:
        """Hear what is left, and end."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Look again and again, until the end."""
        beats = 0
        try:
            while True:
                is_last = self._ended.wait(LOOK_SECONDS if beats else 0)
                if beats * LOOK_SECONDS % PULSE_SECONDS == 0:
                    (self._place / _PULSE).write_text(str(beats))
                beats += 1
                self._hear()
                if is_last:
                    return
        except Exception as error:  # raised in the thread that waits for the workers
            self.error = error

    def _hear(self) -> None:
        for path in sorted(self._place.glob("*.jsonl")):
            with path.open("rb") as lines:
                lines.seek(self._read.get(path, 0))
                whole, end, _ = lines.read().rpartition(b"\n")
            self._read[path] = self._read.get(path, 0) + len(whole) + len(end)
            for line in whole.splitlines():
                self._on_message(json.loads(line))
