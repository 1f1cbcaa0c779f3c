"""Rows in, and what a caller may rely on while they travel."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from quantgod.live.journal import (
    RAW,
    SIGNALS,
    Journal,
    JournalError,
    JournalLocked,
    JournalNotice,
    levels_schema,
    read_table,
)
from quantgod.live.journal import log as log_module
from quantgod.live.journal import sealer as sealer_module
from quantgod.live.journal.log import LogWriter
from quantgod.live.journal.sealing import SealError
from quantgod.live.journal.segments import Segment
from quantgod.settings import JournalSettings
from tests.live.journal import full_disk
from tests.live.journal.writer_process import TABLES, row

SETTINGS = JournalSettings(
    flush_seconds=0.02, sync_seconds=0.2, seal_minutes=60.0, buffer_rows=1_000
)


def wait_until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def numbers(folder: Path) -> list[int]:
    table = read_table(folder, "RAW", ["received_ns"])
    return table["received_ns"].to_pylist() if table.num_columns else []


def raw_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows as they were appended."""
    return read_table(folder, "RAW", TABLES["RAW"].names).to_pylist()


def test_a_row_tells_its_time_and_its_session(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path, TABLES, SETTINGS) as journal:
            journal.append("SIGNALS", row("SIGNALS", 29_000_000))
            journal.append("RAW", row("RAW", 1_735_689_600_000_000_001))
    signals, raw = read_table(tmp_path, "SIGNALS"), read_table(tmp_path, "RAW").to_pandas()
    assert signals["session"].to_pylist() == [1, 2]
    assert {str(time) for time in signals["datetime"].to_pylist()} == {"2025-02-19 21:20:00+00:00"}
    assert str(raw["datetime"].iloc[0]) == "2025-01-01 00:00:00.000000001+00:00"
    two = read_table(tmp_path, "SIGNALS", ["session", "minute"])
    assert two.column_names == ["session", "minute"]


def test_a_folder_or_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(JournalError, match="a journal was expected, there is none"):
            read_table(folder, "SIGNALS")
    with Journal(tmp_path, TABLES, SETTINGS):
        pass
    with pytest.raises(JournalError, match="no table SIGNAL; there are "):
        read_table(tmp_path, "SIGNAL")
    assert read_table(tmp_path, "SIGNALS").num_rows == 0, "there, and empty"


def test_rows_of_another_exchange_are_refused(tmp_path: Path) -> None:
    """A simulated past is nobody's past."""
    for source in ("simulated", "simulated", ""):
        Journal(tmp_path, TABLES, SETTINGS, source=source).close()
    with pytest.raises(JournalError, match="holds rows of simulated, and these are of binance"):
        Journal(tmp_path, TABLES, SETTINGS, source="binance")
    Journal(tmp_path, TABLES, SETTINGS, source="simulated").close()


def test_rows_can_be_read_while_they_are_written_and_after_they_are_sealed(tmp_path: Path) -> None:
    with Journal(tmp_path, TABLES, SETTINGS) as journal:
        for number in range(100):
            assert journal.append("RAW", row("RAW", number))
        wait_until(lambda: journal.acknowledged("RAW") == 100)
        assert raw_rows(tmp_path) == [row("RAW", n) for n in range(100)]
    assert not list((tmp_path / "wal").iterdir())
    assert raw_rows(tmp_path) == [row("RAW", n) for n in range(100)]
    assert [path.name for path in (tmp_path / "RAW").iterdir()] == ["000001-000001.parquet"]


def test_a_row_that_is_wanted_now_is_readable_when_its_future_is_done(tmp_path: Path) -> None:
    calm = SETTINGS.model_copy(update={"flush_seconds": 60.0})
    with Journal(tmp_path, TABLES, calm) as journal:
        journal.append("RAW", row("RAW", 0))
        journal.append_now("RAW", row("RAW", 1)).result(10)
        assert numbers(tmp_path) == [0, 1]


def test_logs_are_sealed_while_the_journal_is_open(tmp_path: Path) -> None:
    often = SETTINGS.model_copy(update={"seal_minutes": 0.05 / 60})
    with Journal(tmp_path, TABLES, often) as journal:
        for number in range(60):
            journal.append("RAW", row("RAW", number))
            time.sleep(0.005)
        wait_until(lambda: len(list((tmp_path / "RAW").glob("*.parquet"))) > 2)
        wait_until(lambda: numbers(tmp_path) == list(range(60)))


def test_every_session_goes_on_in_new_files(tmp_path: Path) -> None:
    for number in range(3):
        with Journal(tmp_path, TABLES, SETTINGS) as journal:
            journal.append("RAW", row("RAW", number))
    names = sorted(path.name for path in (tmp_path / "RAW").iterdir())
    assert names == [f"00000{session}-000001.parquet" for session in (1, 2, 3)]
    assert numbers(tmp_path) == [0, 1, 2]


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with Journal(tmp_path, TABLES, SETTINGS) as journal:
        journal.append_now("RAW", row("RAW", 0)).result(10)
        with pytest.raises(JournalLocked, match=f"process {os.getpid()}"):
            Journal(tmp_path, TABLES, SETTINGS)
        code = (
            "import sys, pathlib; from quantgod.live.journal import Journal, RAW, read_table;"
            "from quantgod.settings import JournalSettings; f = pathlib.Path(sys.argv[1]);"
            "print(read_table(f, 'RAW').num_rows);"
            "Journal(f, {'RAW': RAW}, JournalSettings(flush_seconds=1, sync_seconds=1,"
            " seal_minutes=1, buffer_rows=1))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert run.stdout == "1\n"
    assert "JournalLocked" in run.stderr
    Journal(tmp_path, TABLES, SETTINGS).close()


def test_a_log_that_cannot_be_read_is_set_aside_and_the_start_goes_on(tmp_path: Path) -> None:
    with Journal(tmp_path, TABLES, SETTINGS) as journal:
        journal.append("RAW", row("RAW", 0))
    (tmp_path / "wal" / "RAW.000002-000001.arrows").write_bytes(os.urandom(300))
    log = LogWriter(tmp_path / "wal" / "RAW.000003-000001.arrows", RAW)
    log.append(one_batch(1))
    log.close()
    notices: list[JournalNotice] = []
    with Journal(tmp_path, TABLES, SETTINGS, notices.append) as journal:
        journal.append("RAW", row("RAW", 2))
    assert numbers(tmp_path) == [0, 1, 2]
    assert (tmp_path / "RAW" / "000004-000001.parquet").exists()
    reason = tmp_path / "quarantine" / "RAW.000002-000001.arrows.reason.txt"
    assert reason.read_text().startswith("RAW.000002-000001.arrows: ")
    assert [notice.code for notice in notices] == ["log_quarantined", *["log_recovered"] * 2]


def one_batch(number: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([row("RAW", number)], schema=RAW)


def test_rows_without_room_are_dropped_counted_and_reported(tmp_path: Path) -> None:
    """A writer that never comes to flush: it waits for its first turn."""
    slow = SETTINGS.model_copy(update={"flush_seconds": 60.0, "buffer_rows": 1_000})
    notices: list[JournalNotice] = []
    journal = Journal(tmp_path, TABLES, slow, notices.append)
    journal._writer.wake = lambda: None  # type: ignore[method-assign]
    taken = [journal.append("RAW", row("RAW", 1)) for _ in range(1_005)]
    late = journal.append_now("RAW", row("RAW", 1))
    assert taken == [True] * 1_000 + [False] * 5
    with pytest.raises(JournalError, match="RAW: no room"):
        late.result(0)
    assert journal.state().tables["RAW"].dropped == 6
    assert journal.append("SIGNALS", row("SIGNALS", 1))  # a table has its own room
    journal.close()
    assert [notice.text for notice in notices] == ["RAW: 6 rows dropped for want of room, 6 in all"]
    assert len(numbers(tmp_path)) == 1_000


def test_large_rows_fill_the_buffer_by_their_bytes(tmp_path: Path) -> None:
    calm = SETTINGS.model_copy(update={"flush_seconds": 60.0})
    with Journal(tmp_path, TABLES, calm) as journal:
        message = {"received_ns": 0, "symbol": "B", "kind": "stream", "data": bytes(100 << 20)}
        assert [journal.append("RAW", message) for _ in range(3)] == [True, True, False]
        journal._buffers["RAW"].give_up()


def test_a_row_that_fits_no_column_is_refused_alone(tmp_path: Path) -> None:
    notices: list[JournalNotice] = []
    tables = {**TABLES, "LEVELS": levels_schema(1)}
    with Journal(tmp_path, tables, SETTINGS, notices.append) as journal:
        journal.append("SIGNALS", row("SIGNALS", 0))
        spoilt = journal.append_now("SIGNALS", row("SIGNALS", 1) | {"version": "two"})
        sound = journal.append_now("SIGNALS", row("SIGNALS", 2))
        with pytest.raises(ValueError, match="SIGNALS: Could not convert 'two'"):
            spoilt.result(10)
        sound.result(10)
        absent = journal.append_now("LEVELS", {"ts": 1, "symbol": "B", "levels": None})
        with pytest.raises(ValueError, match="levels must not be null"):
            absent.result(10)
        with pytest.raises(ValueError, match="unknown or missing columns data, size"):
            journal.append("RAW", {"received_ns": 1, "symbol": "B", "kind": "stream", "size": 1})
        with pytest.raises(ValueError, match="RAW, SIGNALS, LEVELS was expected, got 'BARS'"):
            journal.append("BARS", {})
        assert journal.state().tables["SIGNALS"].refused == 1
        assert journal.acknowledged("SIGNALS") == 2
    assert read_table(tmp_path, "SIGNALS")["minute"].to_pylist() == [0, 2]
    assert [notice.code for notice in notices] == ["row_refused"] * 2


def test_a_closed_journal_takes_no_rows(tmp_path: Path) -> None:
    journal = Journal(tmp_path, TABLES, SETTINGS)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append("RAW", row("RAW", 0))


def test_sealing_holds_up_neither_flushing_nor_an_end_in_haste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not sealed in time keeps its log, and the next start seals it."""
    began, go_on = threading.Event(), threading.Event()
    seal = sealer_module.seal

    def slowly(*given: Any) -> Any:
        began.set()
        go_on.wait(10)
        return seal(*given)

    monkeypatch.setattr(sealer_module, "seal", slowly)
    often = SETTINGS.model_copy(update={"seal_minutes": 0.05 / 60})
    journal = Journal(tmp_path, TABLES, often)
    journal.append("RAW", row("RAW", 0))
    assert began.wait(10)
    journal.append_now("RAW", row("RAW", 1)).result(1)
    closing = threading.Thread(target=journal.close, args=(0.0,))
    closing.start()
    wait_until(journal._sealer._stop.is_set)
    go_on.set()
    closing.join()
    assert len(list((tmp_path / "wal").iterdir())) == 2
    assert numbers(tmp_path) == [0, 1]
    Journal(tmp_path, TABLES, SETTINGS).close()
    assert not list((tmp_path / "wal").iterdir())
    assert numbers(tmp_path) == [0, 1]


def test_signals_of_sessions_before_a_column_was_told_are_read_with_those_of_now(
    tmp_path: Path,
) -> None:
    before = SIGNALS.remove(SIGNALS.get_field_index("base_confidence"))
    old = {name: value for name, value in row("SIGNALS", 1).items() if name in before.names}
    with Journal(tmp_path, {"SIGNALS": before}, SETTINGS) as journal:
        journal.append("SIGNALS", old)
    with Journal(tmp_path, TABLES, SETTINGS) as journal:
        journal.append_now("SIGNALS", row("SIGNALS", 2) | {"base_confidence": 0.7}).result(10)
        read = read_table(tmp_path, "SIGNALS")
    assert read["base_confidence"].to_pylist() == [None, 0.7]
    assert read["minute"].to_pylist() == [1, 2]


def test_a_log_that_cannot_be_sealed_is_tried_again_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_forgetful = True
    seal = sealer_module.seal

    def fail(folder: Path, segment: Segment, *given: Any) -> Any:
        if segment.table == "RAW" and is_forgetful:
            raise SealError("a disk that forgets")
        return seal(folder, segment, *given)

    monkeypatch.setattr(sealer_module, "seal", fail)
    monkeypatch.setattr(sealer_module, "RETRY_SECONDS", 0.05)
    notices: list[JournalNotice] = []
    often = SETTINGS.model_copy(update={"seal_minutes": 0.05 / 60})
    with Journal(tmp_path, TABLES, often, notices.append) as journal:
        journal.append("RAW", row("RAW", 0))
        wait_until(lambda: bool(journal.state().troubles))
        journal.append("SIGNALS", row("SIGNALS", 0))
        wait_until(lambda: len(list((tmp_path / "SIGNALS").iterdir())) == 1)
        assert not list((tmp_path / "RAW").iterdir())
        is_forgetful = False
        wait_until(lambda: not journal.state().troubles)
    assert [notice.text for notice in notices] == ["RAW 000001-000001: a disk that forgets"]
    assert numbers(tmp_path) == [0]


@pytest.mark.long
def test_a_slow_disk_holds_up_neither_the_caller_nor_the_next_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[float] = []

    def slowly(file: int) -> None:
        time.sleep(0.4)
        synced.append(time.monotonic())

    monkeypatch.setattr(log_module.os, "fsync", slowly)
    took = []
    with Journal(tmp_path, TABLES, SETTINGS) as journal:
        began = time.monotonic()
        while time.monotonic() < began + 2:
            before = time.monotonic()
            journal.append_now("RAW", row("RAW", 1)).result(10)
            took.append(time.monotonic() - before)
            time.sleep(0.02)
    assert sorted(took)[len(took) * 9 // 10] < 0.2  # one fsync takes twice as long
    assert max(later - sooner for sooner, later in itertools.pairwise(synced)) < 1.2


def test_a_log_that_cannot_be_synced_is_left_for_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, failures = os.fsync, [OSError(errno.EIO, "Input/output error")]

    def fail_once(file: int) -> None:
        if failures:
            raise failures.pop()
        sync(file)

    notices: list[JournalNotice] = []
    with Journal(tmp_path, TABLES, SETTINGS, notices.append) as journal:
        monkeypatch.setattr(log_module.os, "fsync", fail_once)
        journal.append_now("RAW", row("RAW", 0)).result(10)
        wait_until(lambda: bool(notices))
        journal.append_now("RAW", row("RAW", 1)).result(10)
        wait_until(lambda: len(list((tmp_path / "RAW").iterdir())) == 1)
    assert [notice.code for notice in notices] == ["disk_failed"]
    assert "Input/output error" in notices[0].text
    assert numbers(tmp_path) == [0, 1]
    assert len(list((tmp_path / "RAW").iterdir())) == 2


# A disk without room, by real errors of the operating system


def told_of_full_disk(run: list[str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*run, sys.executable, "-m", full_disk.__name__, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_full_disk(told: dict[str, Any]) -> None:
    assert told["slowest_append_ms"] < 100
    codes = [code for code in told["codes"] if code != "seal_failed"]  # there was no room for it
    assert codes == ["disk_full", "rows_dropped", "disk_resumed"]
    assert told["trouble"].startswith("disk_full: ")
    assert told["dropped"] == 500
    assert told["seconds_to_resume"] < 5
    assert told["read"] == told["accepted"]  # every row that was let in, once, in order
    assert told["logs_left"] == 0


def test_recording_waits_for_room_and_resumes_by_itself(tmp_path: Path) -> None:
    """A limit on the size of files: a short write, then EFBIG."""
    told = told_of_full_disk(["env", "FULL_BY=limit"], tmp_path)
    check_full_disk(told)
    assert "File too large" in told["trouble"]


@pytest.mark.long
def test_a_full_file_system_is_survived(tmp_path: Path) -> None:
    """ENOSPC of a small file system, mounted where only this process sees it."""
    unshare = shutil.which("unshare")
    mount = ["-rm", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', str(tmp_path)]
    probe = [unshare or "false", *mount, "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this system lets no test mount a small file system")
    told = told_of_full_disk([probe[0], *mount, "env", "FULL_BY=ballast"], tmp_path)
    check_full_disk(told)
    assert "No space left on device" in told["trouble"]


def test_a_column_that_no_parquet_file_could_hold_is_refused_at_once(tmp_path: Path) -> None:
    fixed = pa.list_(pa.float64(), 4)
    Journal(
        tmp_path / "a",
        {"LEVELS": pa.schema([("ts", pa.int64()), pa.field("levels", fixed, nullable=False)])},
        SETTINGS,
    ).close()
    with pytest.raises(ValueError, match=r"LEVELS\.levels: Parquet holds no null list"):
        Journal(
            tmp_path / "b",
            {"RAW": RAW, "LEVELS": pa.schema([("ts", pa.int64()), ("levels", fixed)])},
            SETTINGS,
        )
    with pytest.raises(ValueError, match="named in capitals were expected, got raw, 1A"):
        Journal(tmp_path / "c", {"RAW": RAW, "raw": RAW, "1A": RAW}, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_writer_is_woken_by_a_quarter_of_the_rows_that_may_wait_and_not_before(
    tmp_path: Path,
) -> None:
    calm = SETTINGS.model_copy(update={"flush_seconds": 60.0, "buffer_rows": 8})
    with Journal(tmp_path, TABLES, calm) as journal:
        woken: list[int] = []
        wake = journal._writer.wake
        journal._writer.wake = lambda: woken.append(1)  # type: ignore[method-assign]
        told = []
        for number in range(4):
            journal.append("RAW", row("RAW", number))
            told.append(len(woken))
        journal._writer.wake = wake  # type: ignore[method-assign]
    assert told == [0, 0, 1, 2]


def test_rows_that_could_not_be_written_before_the_end_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: LogWriter, batch: pa.RecordBatch) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LogWriter, "append", full)
    notices: list[JournalNotice] = []
    journal = Journal(tmp_path, TABLES, SETTINGS, notices.append)
    promises = [journal.append_now("RAW", row("RAW", number)) for number in range(3)]
    wait_until(lambda: bool(journal.state().troubles))
    assert journal.state().tables["RAW"] == (0, 3, 0, 0)
    journal.close()
    assert [notice.code for notice in notices] == ["disk_full", "rows_lost"]
    assert notices[1].text == "RAW: 3 rows could not be written before the end"
    assert all(isinstance(promise.exception(0), JournalError) for promise in promises)
