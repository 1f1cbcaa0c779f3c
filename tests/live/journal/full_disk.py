"""A process whose disk is full for a while: it says, as JSON, what became of its journal.

`FULL_BY=limit` lowers the size that its files may have, `FULL_BY=ballast` fills the file system.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantgod.live.journal import RAW, Journal, JournalNotice, read_table
from quantgod.settings import JournalSettings

ROOM = 1_000
SETTINGS = JournalSettings(
    flush_seconds=0.02, sync_seconds=0.1, seal_minutes=60.0, buffer_rows=ROOM
)


def main(folder: Path) -> dict[str, Any]:
    notices: list[JournalNotice] = []
    accepted: list[int] = []
    slowest = 0.0

    def append(first: int, count: int) -> None:
        nonlocal slowest
        for number in range(first, first + count):
            began = time.monotonic()
            if journal.append("RAW", row(number)):
                accepted.append(number)
            slowest = max(slowest, time.monotonic() - began)

    with Journal(folder, {"RAW": RAW}, SETTINGS, notices.append) as journal:
        append(0, 300)
        wait_until(lambda: journal.acknowledged("RAW") == 300)
        with full(folder):
            append(300, 10)
            wait_until(lambda: bool(journal.state().troubles))
            append(310, ROOM + 490)
            wait_until(lambda: any(notice.code == "rows_dropped" for notice in notices))
            trouble = journal.state().troubles["RAW"]
            read = read_table(folder, "RAW", ["received_ns"])["received_ns"].to_pylist()
            if read != accepted[:300]:
                raise SystemExit("what was acknowledged must be there all the time")
        began = time.monotonic()
        wait_until(lambda: journal.acknowledged("RAW") == len(accepted))
        resumed = time.monotonic() - began
        append(5_000, 50)
    return {
        "slowest_append_ms": 1_000 * slowest,
        "codes": [notice.code for notice in notices],
        "trouble": trouble,
        "dropped": journal.state().tables["RAW"].dropped,
        "seconds_to_resume": resumed,
        "accepted": accepted,
        "read": read_table(folder, "RAW", ["received_ns"])["received_ns"].to_pylist(),
        "logs_left": len(list((folder / "wal").iterdir())),
    }


def row(number: int) -> dict[str, Any]:
    return {"received_ns": number, "symbol": "BTCUSDT", "kind": "stream", "data": bytes(700)}


@contextmanager
def full(folder: Path) -> Iterator[None]:
    if os.environ["FULL_BY"] == "limit":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        # The log is larger already; a new one takes a part of a batch and no more.
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    else:
        ballast = folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            size = 1 << 16
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2
        yield
        ballast.unlink()


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit("it did not come to that")
        time.sleep(0.005)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
