"""Seal finished logs in a separate thread, so that flushes never wait for it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa

from quantgod.live.journal.notices import JournalNotice, Report
from quantgod.live.journal.sealing import SealError, SealStopped, seal
from quantgod.live.journal.segments import Segment

RETRY_SECONDS: Final = 5.0


class Sealer:
    """Seals segments in order; a failed one is retried later.

    Args:
        folder: of the journal.
        left: segments with logs of an earlier session.
        report: called with the results.
    """

    def __init__(self, folder: Path, left: Iterable[Segment], report: Report) -> None:
        self.troubles: dict[str, str] = {}
        self._folder = folder
        self._left = frozenset(left)
        self._report = report
        self._arrivals: queue.SimpleQueue[Segment | None] = queue.SimpleQueue()
        self._todo = sorted(self._left)
        self._stop = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="journal-sealer", daemon=True)
        self._thread.start()

    def take(self, segment: Segment) -> None:
        """Queue this segment."""
        self._arrivals.put(segment)

    def close(self, seconds: float | None) -> None:
        """Seal the queued segments for at most this time; the rest keep their logs."""
        self._arrivals.put(None)
        self._thread.join(seconds)
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending or self._todo:
            self._look(0.0 if self._todo and not self.troubles else RETRY_SECONDS)
            if not self._seal_all() and self._ending:
                return

    def _look(self, seconds: float) -> None:
        """Take queued segments; wait up to `seconds` if there are none."""
        with contextlib.suppress(queue.Empty):
            segment = (
                self._arrivals.get(timeout=seconds) if seconds else self._arrivals.get_nowait()
            )
            while True:
                if segment is None:
                    self._ending = True
                else:
                    self._todo.append(segment)
                segment = self._arrivals.get_nowait()

    def _seal_all(self) -> bool:
        """Seal the queued segments in order; return False if some failed and wait."""
        self._todo = [segment for segment in self._todo if not self._seal(segment)]
        return not self._todo

    def _seal(self, segment: Segment) -> bool:
        if self._stop.is_set():
            return False
        name = f"{segment.table} {segment.name}"
        try:
            began = time.monotonic()
            sealed = seal(self._folder, segment, self._report, self._stop)
        except SealStopped:
            return False
        except (OSError, SealError, pa.ArrowException) as error:
            self._fail(segment, f"{name}: {error}")
            return False
        self.troubles.pop(_key(segment), None)
        if segment in self._left:
            took = f"{time.monotonic() - began:.1f} s"
            text = f"{name}: {sealed.rows} rows of an earlier session, in {took}"
            self._report(JournalNotice("info", "log_recovered", text))
        return True

    def _fail(self, segment: Segment, text: str) -> None:
        if _key(segment) not in self.troubles:
            self._report(JournalNotice("error", "seal_failed", text))
        self.troubles[_key(segment)] = text


def _key(segment: Segment) -> str:
    return f"{segment.table}.{segment.name}"
