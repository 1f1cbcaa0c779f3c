"""A log goes only when a Parquet file is proved to hold its rows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quantgod.live.journal import BARS, JournalError, JournalNotice, levels_schema, read_table
from quantgod.live.journal import sealing as sealing_module
from quantgod.live.journal.log import LogReader, LogWriter
from quantgod.live.journal.recovery import discard_parts, make_rooms
from quantgod.live.journal.sealing import SealError, SealStopped, seal
from quantgod.live.journal.segments import Segment, next_session

SEGMENT = Segment("BARS", 1, 1)

Rows = list[dict[str, Any]]


def bars(count: int, first: int = 0) -> pa.RecordBatch:
    """Every third minute has no row; others hold NaN, negative zero and infinity."""
    rows = []
    for minute in range(first, first + count):
        values = dict.fromkeys(BARS.names)
        if minute % 3:
            book = np.array([np.nan, 0.0, -0.0, np.inf, minute], dtype=np.float64)
            values |= {"close": -0.0, "body": np.nan, "book": book}
        rows.append(values | {"minute": minute, "symbol": "BTCUSDT", "reason": ""})
    return pa.RecordBatch.from_pylist(rows, schema=BARS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_rooms(tmp_path, ["BARS"])
    return tmp_path


def write(folder: Path, segment: Segment = SEGMENT, batches: int = 4) -> bytes:
    log = LogWriter(segment.log(folder), BARS)
    for number in range(batches):
        log.append(bars(5, 5 * number))
    log.close()
    return log.path.read_bytes()


def minutes(folder: Path) -> list[int]:
    return read_table(folder, "BARS")["minute"].to_pylist()


def quarantined(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "quarantine").iterdir())


def test_sealed_rows_are_the_logs_bit_for_bit(folder: Path) -> None:
    write(folder)
    before = read_table(folder, "BARS").combine_chunks()
    assert seal(folder, SEGMENT, print).rows == 20
    assert not SEGMENT.log(folder).exists()
    after = read_table(folder, "BARS").combine_chunks()
    assert after.select(BARS.names).schema.equals(BARS)
    assert repr(after.to_pylist()) == repr(before.to_pylist())  # tells NaN and -0.0 apart


def test_sealing_goes_on_from_a_kill_at_any_point(folder: Path) -> None:
    log = write(folder)
    part = folder / "BARS" / ".000001-000001.parquet.77.part"
    part.write_bytes(b"PAR1 half")
    discard_parts(folder, print)
    assert not part.exists()
    seal(folder, SEGMENT, print)
    sealed, inode = SEGMENT.sealed(folder).read_bytes(), SEGMENT.sealed(folder).stat().st_ino
    SEGMENT.log(folder).write_bytes(log)  # as if killed between the rename and the removal
    assert minutes(folder) == list(range(20))
    assert seal(folder, SEGMENT, print).rows == 20
    assert not SEGMENT.log(folder).exists()
    assert SEGMENT.sealed(folder).read_bytes() == sealed
    assert SEGMENT.sealed(folder).stat().st_ino == inode, "it stands, and is not made anew"
    assert minutes(folder) == list(range(20))


def test_a_torn_tail_is_cut_and_set_aside(folder: Path) -> None:
    log = write(folder)
    SEGMENT.log(folder).write_bytes(log[:-7])
    notices: list[JournalNotice] = []
    sealed = seal(folder, SEGMENT, notices.append)
    assert sealed.rows == 15
    assert minutes(folder) == list(range(15))
    tail = folder / "quarantine" / "BARS.000001-000001.tail"
    assert log[:-7].endswith(tail.read_bytes())
    assert tail.stat().st_size == sealed.cut_bytes
    assert [(notice.level, notice.code) for notice in notices] == [("warning", "tail_cut")]


def test_a_log_without_a_readable_head_is_set_aside_whole(folder: Path) -> None:
    log = bytes(64) + write(folder)[64:]
    SEGMENT.log(folder).write_bytes(log)
    notices: list[JournalNotice] = []
    assert seal(folder, SEGMENT, notices.append).rows == 0
    assert read_table(folder, "BARS").num_columns == 0
    name = "BARS.000001-000001.arrows"
    assert quarantined(folder) == [name, f"{name}.reason.txt"]
    assert (folder / "quarantine" / name).read_bytes() == log
    assert [notice.code for notice in notices] == ["log_quarantined"]
    assert next_session(folder) == 2


def test_an_empty_log_leaves_nothing(folder: Path) -> None:
    SEGMENT.log(folder).touch()
    seal(folder, SEGMENT, print)
    assert not SEGMENT.log(folder).exists()
    assert not quarantined(folder)


def turn_a_bit(rows: Rows) -> list[Rows]:
    rows[7]["minute"] += 1
    return [rows]


def add_a_group(rows: Rows) -> list[Rows]:
    return [rows, rows[-1:]]


def split_a_group(rows: Rows) -> list[Rows]:
    return [rows[:-1], rows[-1:]]


def move_a_level(rows: Rows) -> list[Rows]:
    """The same levels in the same order, but one of a minute stands at the next one."""
    one, next_one = rows[1], rows[2]
    assert one["book"] and next_one["book"]
    next_one["book"] = [one["book"].pop(), *next_one["book"]]
    return [rows]


@pytest.mark.parametrize("spoil", [turn_a_bit, add_a_group, split_a_group, move_a_level])
def test_what_does_not_read_back_is_not_sealed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Rows], list[Rows]]
) -> None:
    """A disk that changes something between the write and the reading."""
    write(folder)
    sync = sealing_module._sync_file

    def change(part: Path) -> None:
        rows = pq.read_table(part).to_pylist()
        before = repr(rows)
        groups = spoil(rows)
        assert len(groups) > 1 or repr(groups[0]) != before, "something has changed"
        with pq.ParquetWriter(part, BARS) as writer:
            for group in groups:
                writer.write_table(pa.Table.from_pylist(group, schema=BARS))
        sync(part)

    with monkeypatch.context() as spoilt:
        spoilt.setattr(sealing_module, "_sync_file", change)
        with pytest.raises(SealError, match=r"differs|row groups"):
            seal(folder, SEGMENT, print)
    assert [path.name for path in (folder / "BARS").iterdir()] == []
    assert minutes(folder) == list(range(20))
    assert seal(folder, SEGMENT, print).rows == 20


def test_a_sealed_file_that_differs_from_its_log_is_set_aside_and_made_anew(folder: Path) -> None:
    log = write(folder)
    seal(folder, SEGMENT, print)
    SEGMENT.log(folder).write_bytes(log)
    sealed = SEGMENT.sealed(folder)
    sealed.write_bytes(sealed.read_bytes()[:-20])
    with pytest.raises(JournalError, match="no readable Parquet"):
        minutes(folder)
    seal(folder, SEGMENT, print)
    assert minutes(folder) == list(range(20))
    assert "BARS.000001-000001.parquet" in quarantined(folder)


def test_sealing_stops_when_told_and_leaves_the_log(folder: Path) -> None:
    write(folder)
    stop = threading.Event()
    stop.set()
    with pytest.raises(SealStopped):
        seal(folder, SEGMENT, print, stop)
    assert [path.name for path in (folder / "BARS").iterdir()] == []
    assert minutes(folder) == list(range(20))


def test_large_logs_are_sealed_in_row_groups(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing_module, "GROUP_ROWS", 7)
    write(folder, batches=9)
    seal(folder, SEGMENT, print)
    with pq.ParquetFile(SEGMENT.sealed(folder)) as parquet:
        assert [parquet.metadata.row_group(n).num_rows for n in range(5)] == [10, 10, 10, 10, 5]
    assert read_table(folder, "BARS", ["minute"], since=33)["minute"].to_pylist() == list(
        range(33, 45)
    )


@pytest.mark.parametrize("name", ["GROUP_ROWS", "GROUP_BYTES"])
@pytest.mark.parametrize(("spare", "expected"), [(0, [12] * 3 + [6]), (1, [18, 18, 6])])
def test_a_row_group_ends_with_the_batch_that_fills_it(
    name: str, spare: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By rows or by bytes, to the last one; and each group anew."""
    given = [bars(6, 6 * number) for number in range(7)]
    (size,) = {batch.nbytes for batch in given}
    limit = 12 if name == "GROUP_ROWS" else 2 * size
    monkeypatch.setattr(sealing_module, name, limit + spare)
    assert [group.num_rows for group in sealing_module._groups(given)] == expected


def test_columns_come_as_asked_and_unknown_ones_are_refused(folder: Path) -> None:
    write(folder)
    write(folder, SEGMENT._replace(session=2))
    seal(folder, SEGMENT, print)
    table = read_table(folder, "BARS", ["reason", "minute"])
    assert table.column_names == ["reason", "minute"]
    assert table["minute"].to_pylist() == [*range(20), *range(20)]
    with pytest.raises(JournalError, match="no column volume"):
        read_table(folder, "BARS", ["volume"])


def test_rows_of_several_schemas_are_read_together_where_they_can_be(tmp_path: Path) -> None:
    make_rooms(tmp_path, ["LEVELS", "RAW"])
    for number, levels in enumerate((2, 3), start=1):
        one_row(tmp_path, Segment("LEVELS", number, 1), levels_schema(levels), [0.0] * 4 * levels)
    lists = read_table(tmp_path, "LEVELS")["levels"].to_pylist()
    assert [len(one) for one in lists] == [8, 12]
    text = pa.schema([("ts", pa.int64()), ("symbol", pa.string()), ("levels", pa.string())])
    one_row(tmp_path, Segment("LEVELS", 3, 1), text, "none")
    with pytest.raises(JournalError, match="rows of LEVELS of several kinds"):
        read_table(tmp_path, "LEVELS")


def one_row(folder: Path, segment: Segment, schema: pa.Schema, levels: object) -> None:
    log = LogWriter(segment.log(folder), schema)
    row = {"ts": 1, "symbol": "B", "levels": levels}
    log.append(pa.RecordBatch.from_pylist([row], schema=schema))
    log.close()


def test_rows_are_found_by_their_time_whichever_columns_are_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a log, and in a sealed file with a group that ends with the time that is asked for."""
    monkeypatch.setattr(sealing_module, "GROUP_ROWS", 10)
    write(folder)
    for _ in range(2):
        for since, expected in (
            (None, range(20)),
            (9, range(9, 20)),
            (10, range(10, 20)),
            (20, ()),
        ):
            found = read_table(folder, "BARS", ["minute"], since)
            assert (found["minute"].to_pylist() if found.num_rows else []) == list(expected)
        close = read_table(folder, "BARS", ["close", "datetime"], 17)
        assert close["close"].to_pylist() == [-0.0, None, -0.0]
        assert close.column_names == ["close", "datetime"]
        assert [time.minute for time in close["datetime"].to_pylist()] == [17, 18, 19]
        whole = read_table(folder, "BARS", since=18)
        assert whole.column_names == [*BARS.names, "datetime", "session"]
        assert whole["session"].to_pylist() == [1, 1]
        if SEGMENT.log(folder).exists():
            seal(folder, SEGMENT, print)


def test_statistics_are_those_of_the_time_by_which_groups_are_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing_module, "GROUP_ROWS", 10)
    write(folder)
    seal(folder, SEGMENT, print)
    read, groups = pq.ParquetFile.read_row_group, list[int]()

    def noted(self: pq.ParquetFile, group: int, **given: Any) -> pa.Table:
        groups.append(group)
        return read(self, group, **given)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    for since, expected in ((None, [0, 1]), (9, [0, 1]), (10, [1]), (20, [])):
        groups.clear()
        read_table(folder, "BARS", ["minute"], since)
        assert groups == expected


@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_log_that_goes_while_it_is_read_is_found_sealed_or_had_no_rows(
    is_sealed: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder)

    def gone(path: Path) -> LogReader:
        if is_sealed:
            seal(folder, SEGMENT, print)
        else:
            path.unlink()
        return LogReader(path)

    monkeypatch.setattr("quantgod.live.journal.reader.LogReader", gone)
    found = read_table(folder, "BARS", ["minute"])
    assert found.num_rows == (20 if is_sealed else 0)


@pytest.mark.parametrize("size", [0, 1, 64])
def test_a_log_that_ends_in_its_head_has_no_rows_and_only_an_empty_one_leaves_nothing(
    size: int, folder: Path
) -> None:
    log = write(folder)
    SEGMENT.log(folder).write_bytes(log[:size])
    assert seal(folder, SEGMENT, print) == (0, size)
    assert len(quarantined(folder)) == 2 * bool(size)


def test_a_log_without_a_batch_is_sealed_to_nothing_and_its_tail_set_aside(folder: Path) -> None:
    log = write(folder, batches=0) + write(folder, Segment("BARS", 2, 1), batches=1)[:400]
    assert len(log) == 400
    SEGMENT.log(folder).touch()
    SEGMENT.log(folder).write_bytes(log)
    sealed = seal(folder, SEGMENT, print)
    assert sealed.rows == 0
    assert not SEGMENT.sealed(folder).exists()
    assert sealed.cut_bytes == sum(
        (folder / "quarantine" / name).stat().st_size
        for name in quarantined(folder)
        if not name.endswith(".txt")
    )


def test_lists_of_one_size_are_compared_bit_for_bit_as_well(folder: Path) -> None:
    make_rooms(folder, ["LEVELS"])
    segment = Segment("LEVELS", 1, 1)
    one_row(folder, segment, levels_schema(1), [float("nan"), -0.0, float("inf"), 1.0])
    assert seal(folder, segment, print).rows == 1
    (levels,) = read_table(folder, "LEVELS")["levels"].to_pylist()
    assert repr(levels) == "[nan, -0.0, inf, 1.0]"
