"""A log read back is what was written before its first flaw, whatever the flaw."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import ipc

from quantgod.live.journal import RAW
from quantgod.live.journal import log as log_module
from quantgod.live.journal.log import LogReader, LogWriter
from quantgod.live.journal.notices import UnreadableLog

SIZES = (3, 0, 40, 1)


def batch(rows: int, first: int = 0) -> pa.RecordBatch:
    made = [
        {"received_ns": n, "symbol": None if n % 3 else "BTC", "kind": "stream", "data": b"x" * n}
        for n in range(first, first + rows)
    ]
    return pa.RecordBatch.from_pylist(made, schema=RAW)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    writer = LogWriter(tmp_path / "log", RAW)
    for number, rows in enumerate(SIZES):
        writer.append(batch(rows, 100 * number))
    writer.sync()
    writer.close()
    return writer.path


def read(path: Path) -> tuple[list[pa.RecordBatch], int]:
    """The batches, and the bytes behind them."""
    with LogReader(path) as reader:
        return list(reader.batches()), len(reader.tail())


def ends(path: Path) -> list[int]:
    with LogReader(path) as reader:
        return [reader.good_bytes, *(reader.good_bytes for _ in reader.batches())]


def test_a_log_is_an_arrow_stream_that_any_reader_reads(log: Path) -> None:
    with ipc.open_stream(log.read_bytes()) as stream:
        assert [found.num_rows for found in stream] == list(SIZES)
    batches, tail = read(log)
    assert tail == 0
    assert batches == [batch(rows, 100 * n) for n, rows in enumerate(SIZES)]


def test_a_log_cut_anywhere_gives_every_batch_before_the_cut(log: Path, tmp_path: Path) -> None:
    whole, borders = log.read_bytes(), ends(log)
    cut = tmp_path / "cut"
    near = {border + shift for border in borders for shift in range(-9, 9)}
    some = random.Random(2).sample(range(len(whole)), 300)
    for size in sorted({*near, *some} & set(range(len(whole)))):
        cut.write_bytes(whole[:size])
        if size < borders[0]:
            with pytest.raises(UnreadableLog):
                LogReader(cut)
            continue
        batches, tail = read(cut)
        assert len(batches) == sum(border <= size for border in borders[1:])
        assert tail == size - borders[len(batches)]


def test_a_log_spoilt_anywhere_gives_nothing_but_what_was_written(
    log: Path, tmp_path: Path
) -> None:
    """Flipped bits, zeros as after a power cut, noise: never a wrong row, never a crash."""
    whole, borders = log.read_bytes(), ends(log)
    draw, spoilt = random.Random(1), tmp_path / "spoilt"
    written = [batch(rows, 100 * n) for n, rows in enumerate(SIZES)]
    for _ in range(1_000):
        data = bytearray(whole)
        at = draw.randrange(len(data))
        length = min(draw.choice([1, 1, 8, 64, 4_096]), len(data) - at)
        data[at : at + length] = draw.choice(
            [bytes([data[at] ^ 1 << draw.randrange(8)]), bytes(length), draw.randbytes(length)]
        )
        spoilt.write_bytes(data)
        try:
            batches, _ = read(spoilt)
        except UnreadableLog:
            assert at < borders[0]
            continue
        assert batches == written[: len(batches)]
        if at >= borders[0]:
            assert len(batches) >= sum(border <= at for border in borders[1:])


def test_a_log_is_never_written_over(log: Path) -> None:
    with pytest.raises(FileExistsError):
        LogWriter(log, RAW)


def test_a_log_whose_schema_was_spoilt_gives_no_rows(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", RAW)
    writer.append(batch(5))
    writer.close()
    data = writer.path.read_bytes()
    assert data.count(b"received_ns") == 1
    writer.path.write_bytes(data.replace(b"received_ns", b"received_mz"))
    batches, tail = read(writer.path)
    assert not batches
    assert tail > 0


def test_a_batch_that_cannot_be_written_leaves_the_log_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it was written when the disk was full."""
    writer = LogWriter(tmp_path / "log", RAW)
    assert writer.size == 0
    writer.append(batch(5))
    before = writer.path.read_bytes()

    def half(file: int, data: bytes) -> None:
        os.write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as full:
        full.setattr(log_module, "_write_all", half)
        with pytest.raises(OSError, match="no room"):
            writer.append(batch(7, 50))
    assert writer.path.read_bytes() == before
    assert writer.size == len(before)
    writer.append(batch(3, 90))
    assert writer.size == writer.path.stat().st_size
    writer.close()
    assert read(writer.path) == ([batch(5), batch(3, 90)], 0)


def test_a_write_that_takes_a_part_goes_on_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(log_module.os, "write", lambda file, data: write(file, data[:100]))
    writer = LogWriter(tmp_path / "log", RAW)
    writer.append(batch(9))
    writer.close()
    assert read(writer.path) == ([batch(9)], 0)


def test_what_is_new_is_synced_once_and_its_folder_at_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(log_module.os, "fsync", lambda file: synced.append("log"))
    monkeypatch.setattr(log_module, "sync_folder", lambda folder: synced.append(folder.name))
    writer = LogWriter(tmp_path / "log", RAW)
    for expected in (["log", tmp_path.name], [], ["log"], [], ["log"]):
        writer.sync()
        assert synced == expected
        synced.clear()
        if not expected:
            writer.append(batch(1))
    writer.close()


def test_a_log_that_was_closed_is_neither_synced_nor_closed_again(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", RAW)
    writer.append(batch(1))
    writer.close()
    for _ in range(2):
        writer.sync()
        writer.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        writer.append(batch(1))


def test_a_log_may_be_read_by_all_and_written_by_its_owner(log: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert log.stat().st_mode & 0o777 == 0o644 & ~mask


@pytest.mark.parametrize("metadata", [None, {"crc": "1"}, {"crc32": "1"}])
def test_a_batch_without_its_own_checksum_is_not_believed(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "log"
    with ipc.new_stream(path, RAW) as stream:
        stream.write_batch(batch(3), custom_metadata=metadata)
    with LogReader(path) as reader:
        assert list(reader.batches()) == []
        assert reader.problem == "the checksum of a batch does not fit its rows"


def test_a_problem_is_told_in_its_first_line_and_not_at_length() -> None:
    assert log_module._in_short(ValueError("first\nsecond\nthird")) == "first"
    assert log_module._in_short(ValueError("x" * 300)) == "x" * 200
