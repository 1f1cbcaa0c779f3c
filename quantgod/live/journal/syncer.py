"""The thread that brings logs to the disk, and hands those that are done with to the sealer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from quantgod.live.journal.log import LogWriter
from quantgod.live.journal.notices import JournalNotice, Report
from quantgod.live.journal.segments import Segment

_SHARE: Final = 0.9
"""Of the seconds allowed between two syncs; the rest is for the sync itself."""


class Syncer:
    """Syncs every log given to it, again and again until it is retired.

    A log that cannot be synced is marked as failed: its writer then begins another.

    Args:
        seconds: A row is on the disk this long after it was written, as far as the disk keeps up.
        done: Called with each retired segment, after its log is closed.
        report: Told when a log cannot be synced.
    """

    def __init__(self, seconds: float, done: Callable[[Segment], None], report: Report) -> None:
        self._seconds = seconds * _SHARE
        self._done = done
        self._report = report
        self._logs: dict[Segment, LogWriter] = {}
        self._retired: list[Segment] = []
        self._failed: set[Segment] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="journal-syncer", daemon=True)
        self._thread.start()

    def add(self, segment: Segment, log: LogWriter) -> None:
        """Sync this log from now on."""
        with self._lock:
            self._logs[segment] = log

    def retire(self, segment: Segment) -> None:
        """Nobody writes to this log any more: sync and close it, and hand it on."""
        with self._lock:
            self._retired.append(segment)
        self._wake.set()

    def has_failed(self, segment: Segment) -> bool:
        """Whether this log could not be synced."""
        return segment in self._failed

    def close(self) -> None:
        """Sync everything once more and end."""
        self._ending = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait(self._seconds)
            self._wake.clear()
            self._sync_all()
        self._sync_all()

    def _sync_all(self) -> None:
        with self._lock:
            logs, retired = dict(self._logs), self._retired
            self._retired = []
        for segment, log in logs.items():
            self._sync(segment, log)
        for segment in retired:
            logs[segment].close()
            with self._lock:
                del self._logs[segment]
            self._failed.discard(segment)
            self._done(segment)

    def _sync(self, segment: Segment, log: LogWriter) -> None:
        try:
            log.sync()
        except OSError as error:
            if segment in self._failed:
                return
            self._failed.add(segment)
            text = f"{log.path.name}: {error}; rows since the last sync may not survive the machine"
            self._report(JournalNotice("error", "disk_failed", text))
