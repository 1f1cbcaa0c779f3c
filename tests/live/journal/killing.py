"""Rounds of `kill -9` upon a writer of one folder, and what must be true after each."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import pyarrow.parquet as pq

from quantgod.live.journal import Journal, read_table, tables
from quantgod.settings import JournalSettings
from tests.live.journal import writer_process
from tests.live.journal.writer_process import DEAD, NAMES, RECORD, TABLES, Told, row

LOSS_NS = 1_000_000_000


class Killed(NamedTuple):
    """Of a round: kills, rows recovered, rows that were appended but never acknowledged."""

    kills: int
    rows: int
    lost: int


def kill_round(seed: int, kills: int) -> Killed:
    """Kill `kills` writers of one folder, one after the other, and check it after each kill.

    Raises:
        AssertionError: when an acknowledged row is missing, a row is there twice or out of order or
            altered, more than a second of rows is lost, or a Parquet file cannot be read.
    """
    random = Random(seed)
    lost = 0
    first = [0] * len(NAMES)
    with tempfile.TemporaryDirectory() as made, _writer() as writer:
        folder = Path(made)
        for _ in range(kills):
            told, killed_ns = _kill_one(writer, folder, first, random)
            recovered = _recovered(folder, min(first))
            lost += _check(told, killed_ns, first, recovered)
            first = recovered
        with Journal(folder, TABLES, JournalSettings(**_CALM)):
            pass  # a last start recovers everything, and its end seals it
        assert _recovered(folder) == first
        assert not list((folder / "wal").iterdir())
        assert not list(folder.rglob(".*.part"))
        for name in NAMES:
            for path in (folder / name).iterdir():
                assert pq.ParquetFile(path).read().num_rows
    return Killed(kills, sum(first), lost)


_CALM = {"flush_seconds": 0.5, "sync_seconds": 4.0, "seal_minutes": 60.0, "buffer_rows": 10}


@contextmanager
def _writer() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", writer_process.__name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        try:
            yield writer
        except BaseException:
            writer.kill()  # or its end would be waited for
            raise
        assert writer.stdin is not None
        writer.stdin.close()
        assert writer.wait(10) == 0


def _kill_one(
    writer: subprocess.Popen[bytes], folder: Path, first: list[int], random: Random
) -> tuple[list[Told], int]:
    """Let one child write for a while, read along, and kill it: all it told, and when it died."""
    assert writer.stdin is not None
    order = {
        "folder": str(folder),
        "first": first,
        "seed": random.getrandbits(32),
        "flush_seconds": random.choice([0.005, 0.03, 0.5]),
    }
    writer.stdin.write(json.dumps(order).encode() + b"\n")
    writer.stdin.flush()
    told: list[Told] = []
    reading = threading.Thread(target=lambda: told.extend(_records(writer)))
    reading.start()
    time.sleep(random.choice([random.uniform(0, 0.02), random.uniform(0, 0.2)]))
    if random.random() < 0.05:
        time.sleep(1.2)
    if random.random() < 0.5:
        _recovered(folder, min(first))  # while it writes
    killed_ns = time.monotonic_ns()
    writer.stdin.write(b"kill\n")
    writer.stdin.flush()
    reading.join()
    died = told.pop()
    assert (died.kind, died.acknowledged) == (DEAD, -signal.SIGKILL)
    return told, killed_ns


def _records(writer: subprocess.Popen[bytes]) -> Iterator[Told]:
    assert writer.stdout is not None
    while data := writer.stdout.read(RECORD.size):
        told = Told(*RECORD.unpack(data))
        yield told
        if told.kind == DEAD:
            return


def _check(told: list[Told], killed_ns: int, first: list[int], recovered: list[int]) -> int:
    """Compare what is there with what the child told; gives how many rows were lost."""
    lost = 0
    for table, count in enumerate(recovered):
        records = [one for one in told if one.table == table]
        acknowledged = max((one.acknowledged for one in records), default=first[table])
        appended = max((one.appended for one in records), default=first[table])
        old = [one.appended for one in records if one.time_ns < killed_ns - LOSS_NS]
        assert count >= acknowledged, f"{NAMES[table]}: {count} rows, {acknowledged} acknowledged"
        assert count >= max(old, default=0), f"{NAMES[table]}: {count} rows, {old[-1]} are older"
        lost += max(appended - count, 0)
    return lost


def _recovered(folder: Path, since: int = 0) -> list[int]:
    """Rows of each table, all in order and once; those from number `since` on as they were made."""
    counts = []
    for name in NAMES:
        if name not in tables(folder):
            counts.append(0)  # killed before it could make the folder
            continue
        time = TABLES[name].names[0]
        numbers = read_table(folder, name, [time])
        count = numbers.num_rows
        assert not count or numbers[time].to_pylist() == list(range(count)), f"{name}: {numbers}"
        rows = read_table(folder, name, TABLES[name].names, since).to_pylist()
        for number, found in enumerate(rows, start=since):
            assert found == row(name, number), f"{name}: row {number} is {str(found)[:200]}"
        counts.append(count)
    return counts
