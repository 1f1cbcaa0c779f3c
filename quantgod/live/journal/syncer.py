"""Sync logs to disk in a separate thread, and pass finished ones to the sealer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from quantgod.live.journal.log import LogWriter
from quantgod.live.journal.notices import JournalNotice, Report
from quantgod.live.journal.segments import Segment

_SHARE: Final = 0.9
"""Share of the time between two syncs; the rest is for the sync itself."""


class Syncer:
    """Syncs all its logs repeatedly until they are retired.

    A log that cannot be synced is marked as failed; its writer then starts another.

    Args:
        seconds: maximal time from writing a row to its sync, if the disk is fast enough.
        done: called with each retired segment after its log is closed.
        report: called if a log cannot be synced.
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
        """Sync and close a finished log, and pass it on."""
        with self._lock:
            self._retired.append(segment)
        self._wake.set()

    def has_failed(self, segment: Segment) -> bool:
        """Return whether this log could not be synced."""
        return segment in self._failed

    def close(self) -> None:
        """Sync everything once more and stop."""
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
