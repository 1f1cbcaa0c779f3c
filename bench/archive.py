"""Reading a full day's archive: held against the floor, a peer, its own line, and its imports.

The floor is what no reader can do without: inflating, the CRC, and a compiled parse of every byte.
The readable reference reads a sample of the lines beside the compiled reader, so the floor of that
sample is the same reader without it. The floor of a worker's memory is a process that has imported
what a worker imports and read nothing: what is beyond it is the kernels, the book, and the rows.
Seconds are of processor time, the best of rounds in turns, so that a busy machine disturbs all
alike.

The day is packed as the simulator packs it, quickly. The part that the reader and the peer both
read is packed by zlib at its usual level, 6, as a venue's archives are.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.goal import Figure, Log, said
from bench.turns import best
from quantgod.archive import sample
from quantgod.archive.compiled import byte, compiled
from quantgod.archive.day_reading import DayReading
from quantgod.archive.kernel import read_archive
from quantgod.archive.levels import LEVELS, MESSAGE_LENGTH
from quantgod.archive.parser import parse
from quantgod.archive.reference import read_archive_reference
from quantgod.archive.zip_stream import open_archive
from quantgod.settings import load_settings
from quantgod.simulation.archives import write_archives

MOST_OF_FLOOR = 1.6
LEAST_OF_PEER = 25.0
MOST_OF_IMPORTS = 1.6
MOST_BENT = 1.15
MOST_SAMPLED = 1.03
ROUNDS = 7
SLICE_LINES = 60_000
PEER_PYTHON = Path(os.environ.get("QUANTGOD_PEER_PYTHON", ".venv-bench/bin/python"))

SETTINGS = load_settings(Path("conf/full.yaml"), {"simulate.days": 1})
SYMBOL = SETTINGS.data.symbol


def measure(log: Log) -> list[Figure]:
    """Make the day, read it in every way, and give the figures."""
    with tempfile.TemporaryDirectory() as folder:
        log("simulating a day of messages")
        day = write_archives(Path(folder), SYMBOL, SETTINGS.simulate)[0]
        part = _slice(day, Path(folder) / "slice")
        reading = _read(part)  # compiles
        return _of_day(day, log) + _memory(day, log) + _others(part, reading, log)


def _of_day(day: Path, log: Log) -> list[Figure]:
    """The whole day, its first half and the day without a sample, beside the floor."""
    reading = _read(day)
    noon = int(reading.minutes[len(reading.minutes) // 2])
    lines, half_lines = reading.lines, _read(day, noon).lines
    if (parsed := _floor(day)) != lines:
        raise RuntimeError(f"the floor has parsed {parsed} of {lines} lines")
    log(f"reading it {ROUNDS} times each way")
    works = (_floor, _read, partial(_read, stop_minute=noon), _unsampled)
    floor, whole, half, unsampled = best([partial(work, day) for work in works], ROUNDS)
    return [
        Figure("messages", lines),
        Figure("minutes with a row", len(reading.minutes)),
        Figure("floor: inflate, CRC, parse", floor / lines * 1e6, "us a message"),
        Figure(
            "archive to minute rows, over inflate, CRC and compiled parse",
            whole / floor,
            "x",
            at_most=MOST_OF_FLOOR,
            here=said(whole / lines * 1e6, "us a message"),
        ),
        Figure(
            "with the reference's sample, over without",
            whole / unsampled,
            "x",
            at_most=MOST_SAMPLED,
        ),
        Figure(
            "a message of the day, over one of its first half",
            (whole / lines) / (half / half_lines),
            "x",
            at_most=MOST_BENT,
        ),
    ]


def _memory(day: Path, log: Log) -> list[Figure]:
    """Peak memory of fresh processes."""
    log("a worker's memory")
    peak, imports = _megabytes("_read(Path(sys.argv[1]))", day), _megabytes("", day)
    return [
        Figure("floor: what a worker imports", imports, "MB"),
        Figure(
            "a worker's peak memory, over its imports",
            peak / imports,
            "x",
            at_most=MOST_OF_IMPORTS,
            here=said(peak, "MB"),
        ),
    ]


def _others(part: Path, reading: DayReading, log: Log) -> list[Figure]:
    """The reference and the peer, on a part of the day: they are too slow for all of it."""
    log("the readable reference")
    read = partial(read_archive_reference, part, SYMBOL, _date(part), SETTINGS.etl)
    reference = read()
    [seconds] = best([read], 1)
    if reference.book.tobytes() != reading.book.tobytes():
        raise RuntimeError("the compiled reader's book is not the reference's, bit for bit")
    figures = [Figure("reference", seconds / reference.lines * 1e6, "us a message")]
    if not PEER_PYTHON.exists():
        log(f"hftbacktest is not measured: {PEER_PYTHON} is not there (requirements-bench.txt)")
        return figures
    log("hftbacktest's Bybit converter, in turns with the reader")
    turns = [(_peer(part), *best([partial(_read, part)], 1)) for _ in range(ROUNDS)]
    peer, ours = (min(seconds) / reading.lines for seconds in zip(*turns, strict=True))
    return [
        *figures,
        Figure("hftbacktest's converter", peer * 1e6, "us a message"),
        Figure(
            "hftbacktest's Bybit converter, over ours",
            peer / ours,
            "x",
            at_least=LEAST_OF_PEER,
        ),
    ]


def _date(path: Path) -> dt.date:
    return dt.date.fromisoformat(path.name[:10])


def _read(path: Path, stop_minute: int | None = None) -> DayReading:
    return read_archive(path, SYMBOL, _date(path), SETTINGS.etl, stop_minute=stop_minute)


def _unsampled(path: Path) -> DayReading:
    """Read without the reference's sample, by putting its next line beyond the end."""
    with patch.object(sample, "next_line", return_value=sys.maxsize):
        return _read(path)


def _slice(day: Path, folder: Path) -> Path:
    """The first lines of the day as an archive of their own."""
    folder.mkdir()
    path = folder / day.name
    with (
        zipfile.ZipFile(day) as source,
        source.open(source.namelist()[0]) as lines,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as target,
    ):
        head = b"".join(line for line, _ in zip(lines, range(SLICE_LINES), strict=False))
        target.writestr(source.namelist()[0], head)
    return path


def _floor(path: Path) -> int:
    """Inflate, check the CRC and parse every line; no book."""
    topic, symbol = (
        np.frombuffer(f'"{name}"'.encode(), dtype=np.uint8)
        for name in (f"orderbook.{SETTINGS.simulate.levels}.{SYMBOL}", SYMBOL)
    )
    scale = np.array([1, 1], dtype=np.int64)
    message = np.zeros(MESSAGE_LENGTH, dtype=np.int64)
    ticks, sizes = np.zeros((2, LEVELS), dtype=np.int64), np.zeros((2, LEVELS))
    parsed, rest = 0, b""
    with open_archive(path, SETTINGS.etl.limits) as archive:
        for chunk in archive.chunks():
            first, last = chunk.find(b"\n") + 1, chunk.rfind(b"\n") + 1
            head = rest + chunk[:first]
            for data, start, end in ((head, 0, len(head)), (chunk, first, last)):
                at = np.frombuffer(data, dtype=np.uint8).ctypes.data
                parsed += _parse_all(
                    at + start, at + end, topic, symbol, scale, message, ticks, sizes
                )
            rest = chunk[last:]
    return parsed


@compiled
def _parse_all(
    at: int, end: int, topic: Any, symbol: Any, scale: Any, message: Any, ticks: Any, sizes: Any
) -> int:
    parsed = 0
    while at < end:
        after = parse(at, end, topic, symbol, scale, message, ticks, sizes)
        if after:
            parsed += 1
            at = after
        while byte(at) != 10:
            at += 1
        at += 1
    return parsed


def _megabytes(work: str, day: Path) -> float:
    """Peak memory of a fresh process that imports as a worker of the etl does, and then works."""
    code = (
        "import sys; import quantgod.archive.etl; from bench.archive import _read\n"
        f"from pathlib import Path; {work}\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(day)], capture_output=True, text=True, check=True
    )
    return int(run.stdout.split()[-1]) / 1024


def _peer(part: Path) -> float:
    """Processor seconds of hftbacktest's converter, in the environment it needs."""
    run = subprocess.run(
        [str(PEER_PYTHON), str(Path(__file__).with_name("peer_hftbacktest.py")), str(part)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(run.stdout.splitlines()[-1])["seconds"])
