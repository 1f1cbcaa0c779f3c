"""When rows are flushed, logs are retired and losses are told: by a clock that the test sets."""

from __future__ import annotations

import errno
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from quantgod.live.journal import writer as writing
from quantgod.live.journal.buffer import TableBuffer
from quantgod.live.journal.log import LogReader, LogWriter
from quantgod.live.journal.notices import JournalNotice
from quantgod.live.journal.recovery import make_rooms
from quantgod.live.journal.sealer import Sealer
from quantgod.live.journal.segments import Segment
from quantgod.live.journal.syncer import Syncer
from quantgod.live.journal.writer import Writer
from quantgod.settings import JournalSettings

SCHEMA = pa.schema([("ts", pa.int64()), ("data", pa.binary())])
ROW_LIMIT = 10


class Syncs:
    """A syncer that notes what it is given."""

    def __init__(self) -> None:
        self.added: list[Segment] = []
        self.retired: list[Segment] = []
        self.failed: set[Segment] = set()

    def add(self, segment: Segment, log: Any) -> None:
        self.added.append(segment)

    def retire(self, segment: Segment) -> None:
        self.retired.append(segment)

    def has_failed(self, segment: Segment) -> bool:
        return segment in self.failed


class Desk:
    """A writer of two tables, by a clock that begins at 0."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_rooms(folder, ["RAW", "OTHER"])
        self.clock = SimpleNamespace(now=0.0)
        self.clock.monotonic = lambda: self.clock.now
        monkeypatch.setattr(writing, "time", self.clock)
        self.folder = folder
        self.notices: list[JournalNotice] = []
        self.syncs: Any = Syncs()
        self.buffers = {name: TableBuffer(name, SCHEMA, ROW_LIMIT) for name in ("RAW", "OTHER")}
        settings = JournalSettings(
            flush_seconds=60.0, sync_seconds=60.0, seal_minutes=2.0, buffer_rows=ROW_LIMIT
        )
        self.writer = Writer(folder, 7, self.buffers, settings, self.syncs, self.notices.append)

    def put(self, *values: Any, table: str = "RAW") -> Future[None]:
        """Append rows and flush; gives the promise of the last."""
        promise: Future[None] = Future()
        for place, value in enumerate(values, start=1):
            row = {"ts": value, "data": b""}
            self.buffers[table].put(row, promise if place == len(values) else None)
        self.writer.wake()
        return promise

    def passes(self) -> None:
        """Wait until the writer has looked at everything once more."""
        for _ in range(2):  # the second one begins after the first has ended
            self.put(1, table="OTHER").result(10)

    def texts(self) -> list[str]:
        return [notice.text for notice in self.notices]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    desk = Desk(tmp_path, monkeypatch)
    yield desk
    desk.writer.close()


def test_logs_are_retired_whenever_their_minutes_are_over(desk: Desk) -> None:
    for number, (before, due) in enumerate([(119.99, 120.0), (239.99, 240.0)], start=1):
        desk.put(1).result(10)
        desk.clock.now = before
        desk.passes()
        raw = [Segment("RAW", 7, one) for one in range(1, number + 1)]
        assert [one for one in desk.syncs.added if one.table == "RAW"] == raw
        assert [one for one in desk.syncs.retired if one.table == "RAW"] == raw[:-1]
        desk.clock.now = due
        desk.passes()
        assert [one for one in desk.syncs.retired if one.table == "RAW"] == raw
    assert all(segment.log(desk.folder).stat().st_size for segment in raw)


def test_a_log_of_as_many_bytes_as_it_may_have_is_retired(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(1).result(10)
    first = Segment("RAW", 7, 1)
    once = first.log(desk.folder).stat().st_size
    desk.put(2).result(10)
    more = first.log(desk.folder).stat().st_size - once
    assert desk.syncs.retired == []
    monkeypatch.setattr(writing, "LOG_BYTES", once + 3 * more)
    desk.put(3).result(10)
    assert desk.syncs.retired == []
    desk.put(4).result(10)
    assert desk.syncs.retired == [first]
    desk.put(5).result(10)
    assert desk.syncs.added == [first, first._replace(number=2)]


def test_a_log_that_could_not_be_synced_is_left_at_the_next_row(desk: Desk) -> None:
    desk.put(1).result(10)
    desk.put(2).result(10)
    first = Segment("RAW", 7, 1)
    assert desk.syncs.added == [first]
    desk.syncs.failed.add(first)
    desk.put(3).result(10)
    assert (desk.syncs.added, desk.syncs.retired) == ([first, first._replace(number=2)], [first])


def test_of_rows_that_fit_no_table_the_first_of_a_batch_says_why(desk: Desk) -> None:
    with pytest.raises(ValueError, match="RAW: "):
        desk.put(1, "two", "three").result(10)
    desk.passes()
    (text,) = desk.texts()
    assert text.startswith("RAW: 2 rows do not fit the table, the first: ")
    assert "two" in text
    with pytest.raises(ValueError, match="RAW: "):
        desk.put("four").result(10)
    assert desk.buffers["RAW"].acknowledged == 1


def test_dropped_rows_are_told_once_a_minute_with_how_many_they_were_since(desk: Desk) -> None:
    told = []
    for now, dropped in [(0.0, 1), (59.99, 3), (60.0, 3), (61.0, 3), (120.0, 4), (500.0, 4)]:
        desk.clock.now = now
        desk.buffers["RAW"].dropped = dropped
        desk.passes()
        told.append(len(desk.notices))
    assert told == [1, 1, 2, 2, 3, 3]
    assert desk.texts() == [
        f"RAW: {since} rows dropped for want of room, {count} in all"
        for since, count in ((1, 1), (2, 3), (1, 4))
    ]


def test_a_table_is_pressed_when_more_than_a_quarter_of_its_room_waits(desk: Desk) -> None:
    buffer = TableBuffer("RAW", SCHEMA, ROW_LIMIT)
    pressed = []
    for place in range(4):
        buffer.put({"ts": place, "data": b""})
        pressed.append(desk.writer.is_pressed(buffer))
    assert pressed == [False, False, True, True]
    desk.writer.troubles["RAW"] = "disk_full"
    assert not desk.writer.is_pressed(buffer), "a flush would be of no use"
    desk.writer.troubles.clear()
    buffer.done(buffer.oldest())  # type: ignore[arg-type]
    desk.writer.troubles["OTHER"] = "disk_full"
    assert not desk.writer.is_pressed(buffer)
    desk.writer.troubles.clear()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "no room"), "disk_full"),
        (OSError(errno.EDQUOT, "no room"), "disk_full"),
        (OSError(errno.EIO, "broken"), "disk_failed"),
        (MemoryError("no memory"), "disk_failed"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_disk_that_fails_is_told_once_and_rows_wait_until_it_takes_them(
    error: Exception, code: str, is_first: bool, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first row of a log, of which no file is left then, and at a later one."""
    if not is_first:
        desk.put(0).result(10)

    append = LogWriter.append

    def fail(log: LogWriter, batch: pa.RecordBatch) -> None:
        if log.path.name.startswith("RAW"):
            raise error
        append(log, batch)

    with monkeypatch.context() as failing:
        failing.setattr(LogWriter, "append", fail)
        promise = desk.put(1, 2)
        desk.passes()
        desk.put(3)
        desk.passes()
        assert [notice.code for notice in desk.notices] == [code]
        assert desk.writer.troubles == {"RAW": f"{code}: {error}"}
        assert (
            desk.notices[0].text
            == f"RAW: {error}; rows wait, and are written when there is room again"
        )
        assert not promise.done()
        if isinstance(error, OSError):
            left = sorted(path.name for path in (desk.folder / "wal").glob("RAW*"))
            assert left == ([] if is_first else ["RAW.000007-000001.arrows"])
    desk.put(4).result(10)
    assert promise.done()
    desk.passes()
    assert [notice.code for notice in desk.notices] == [code, "disk_resumed"]
    assert desk.notices[1].text == "RAW: rows are written again; 0 were dropped in this session"
    assert desk.writer.troubles == {}
    rows = []
    for path in sorted((desk.folder / "wal").glob("RAW*")):
        if path.stat().st_size:
            with LogReader(path) as reader:
                rows += [ts for batch in reader.batches() for ts in batch["ts"].to_pylist()]
    assert rows == [*([] if is_first else [0]), 1, 2, 3, 4]


def test_its_threads_do_not_hold_up_the_end_of_the_process(tmp_path: Path, desk: Desk) -> None:
    syncer = Syncer(10.0, lambda segment: None, print)
    sealer = Sealer(tmp_path, [], print)
    threads = [one for one in threading.enumerate() if one.name.startswith("journal-")]
    assert {one.name for one in threads} >= {"journal-writer", "journal-syncer", "journal-sealer"}
    assert all(one.daemon for one in threads)
    assert syncer._seconds == 9.0, "a tenth is left to the sync itself"
    syncer.close()
    sealer.close(1.0)
