"""Reading a full day's archive: held against the floor, a peer, its own line, and a memory limit.

The floor is what no reader can do without: inflating, the CRC, and a compiled parse of every byte.
Seconds are of processor time, the best of several rounds that take turns, so that a busy machine
disturbs all alike.

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
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.goal import Figure
from quantgod.archive import sample
from quantgod.archive.compiled import byte, compiled
from quantgod.archive.kernel import read_archive
from quantgod.archive.levels import LEVELS, MESSAGE_LENGTH
from quantgod.archive.parser import parse
from quantgod.archive.reading import DayReading
from quantgod.archive.reference import read_archive_reference
from quantgod.archive.simulated import write_archives
from quantgod.archive.zip_stream import open_archive
from quantgod.settings import load_settings

MOST_OF_FLOOR = 1.6
LEAST_OF_PEER = 25.0
MOST_MEGABYTES = 350.0
MOST_BENT = 1.15
MOST_SAMPLED = 1.03
ROUNDS = 3
SLICE_LINES = 60_000
PEER_PYTHON = Path(os.environ.get("QUANTGOD_PEER_PYTHON", ".venv-bench/bin/python"))

Log = Callable[[str], None]
SETTINGS = load_settings(Path("conf/full.yaml"), {"simulate.days": 1})
SYMBOL = SETTINGS.data.symbol


def measure(log: Log) -> list[Figure]:
    """Make the day, read it in every way, and give the figures."""
    with tempfile.TemporaryDirectory() as folder:
        log("simulating a day of messages")
        day = write_archives(Path(folder), SYMBOL, SETTINGS.simulate)[0]
        part = _slice(day, Path(folder) / "slice")
        reading = _read(part)  # compiles
        floor, whole, half, unsampled = _rounds(day, log)
        lines = 2 * half[1].lines
        per_message = whole[0] / whole[1].lines
        figures = [
            Figure("messages", whole[1].lines),
            Figure("minutes with a row", len(whole[1].minutes)),
            Figure("floor: inflate, CRC, parse", floor / whole[1].lines * 1e6, "us a message"),
            Figure("reader, end to end", per_message * 1e6, "us a message"),
            Figure("reader over floor", whole[0] / floor, "x", at_most=MOST_OF_FLOOR),
            Figure(
                "reader over one without the reference's sample",
                whole[0] / unsampled,
                "x",
                at_most=MOST_SAMPLED,
            ),
            Figure(
                "a message of the day over one of its first half",
                per_message / (half[0] / (lines / 2)),
                "x",
                at_most=MOST_BENT,
            ),
            Figure("a worker's peak memory", _megabytes(day), "MB", at_most=MOST_MEGABYTES),
        ]
        return figures + _others(part, reading, log)


def _rounds(
    day: Path, log: Log
) -> tuple[float, tuple[float, DayReading], tuple[float, DayReading], float]:
    """Best seconds of the floor, of the whole day, of its first half, of it without sample."""
    floors, wholes, halves, unsampled = [], [], [], []
    _floor(day)
    for number in range(ROUNDS):
        log(f"round {number + 1} of {ROUNDS}")
        floors.append(_seconds(lambda: _floor(day))[0])
        wholes.append(_seconds(lambda: _read(day)))
        noon = int(wholes[-1][1].minutes[len(wholes[-1][1].minutes) // 2])
        halves.append(_seconds(partial(_read, day, noon)))
        with patch.object(sample, "next_line", return_value=sys.maxsize):
            unsampled.append(_seconds(lambda: _read(day))[0])
    whole, half = (min(runs, key=lambda run: run[0]) for runs in (wholes, halves))
    return min(floors), whole, half, min(unsampled)


def _others(part: Path, reading: DayReading, log: Log) -> list[Figure]:
    """The reference and the peer, on a part of the day: they are too slow for all of it."""
    log("the readable reference")
    seconds, reference = _seconds(
        lambda: read_archive_reference(part, SYMBOL, _date(part), SETTINGS.etl)
    )
    is_equal = reference.book.tobytes() == reading.book.tobytes()
    figures = [
        Figure("reference", seconds / reference.lines * 1e6, "us a message"),
        Figure("reference's book equal to the bit", float(is_equal), at_least=1),
    ]
    if not PEER_PYTHON.exists():
        log(f"hftbacktest is not measured: {PEER_PYTHON} is not there (requirements-bench.txt)")
        return figures
    log("hftbacktest's Bybit converter, in turns with the reader")
    turns = [(_peer(part), _seconds(partial(_read, part))[0]) for _ in range(ROUNDS)]
    peer, ours = (min(seconds) / reading.lines for seconds in zip(*turns, strict=True))
    return [
        *figures,
        Figure("hftbacktest's converter", peer * 1e6, "us a message"),
        Figure("hftbacktest over reader", peer / ours, "x", at_least=LEAST_OF_PEER),
    ]


def _seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def _date(path: Path) -> dt.date:
    return dt.date.fromisoformat(path.name[:10])


def _read(path: Path, stop_minute: int | None = None) -> DayReading:
    return read_archive(path, SYMBOL, _date(path), SETTINGS.etl, stop_minute=stop_minute)


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


def _megabytes(day: Path) -> float:
    """Peak memory of a fresh process that reads the day as a worker of the etl does."""
    code = (
        "import sys; import quantgod.archive.etl; from bench.archive import _read\n"
        "from pathlib import Path; _read(Path(sys.argv[1]))\n"
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
