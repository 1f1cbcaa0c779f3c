"""A process that forks writers of a journal, one after the other, and kills them.

It reads orders, a line of JSON each, forks a child for each, and kills it when the next line comes;
so a child needs no imports of its own and 200 of them take seconds. Child and parent tell what
happened as records of one size, each written at once: a kill cuts none of them.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa

from quantgod.live.journal import RAW, SIGNALS, Journal
from quantgod.settings import JournalSettings

TABLES = {"RAW": RAW, "SIGNALS": SIGNALS}
NAMES = tuple(TABLES)
RECORD = struct.Struct("<BBqqq")
TOLD, DEAD = range(2)


class Told(NamedTuple):
    """What a record says: of a table, rows appended so far, rows acknowledged, at what time."""

    kind: int
    table: int
    appended: int
    acknowledged: int
    time_ns: int


def row(table: str, number: int) -> dict[str, Any]:
    """Row `number` of a table; every 50th message is large, so that a kill may cut its write."""
    if table == "RAW":
        data = f"{number},".encode() * (number % 90 + (30_000 if number % 50 == 0 else 1))
        return {"received_ns": number, "symbol": "BTCUSDT", "kind": "stream", "data": data}
    return {"minute": number, **{field.name: _value(field, number) for field in list(SIGNALS)[1:]}}


def _value(field: pa.Field, number: int) -> Any:
    """Something of a column's type that tells rows apart; the latency is null at times."""
    if field.name == "latency_ms" and number % 2:
        return None
    if pa.types.is_boolean(field.type):
        return number % 3 == 0
    if pa.types.is_string(field.type):
        return f"{field.name} {number % 9}"
    return number % 9 if pa.types.is_integer(field.type) else number / len(field.name)


def main() -> None:
    pa.array([1])  # imports all that a conversion needs, once for all children
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write(**json.loads(line))
        sys.stdin.readline()
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        tell(DEAD, 0, 0, os.waitstatus_to_exitcode(status))


def write(folder: str, first: list[int], seed: int, flush_seconds: float) -> None:
    """Append rows until killed; now and then close the journal and open it anew."""
    random = Random(seed)
    seal_minutes = random.choice([0.03, 0.2, 3600.0]) / 60
    settings = JournalSettings(
        flush_seconds=flush_seconds, sync_seconds=0.2, seal_minutes=seal_minutes, buffer_rows=10_000
    )
    numbers = list(first)
    while True:
        with Journal(Path(folder), TABLES, settings) as journal:
            opened = list(numbers)
            for _ in range(random.choice([20, 10_000])):
                append_some(journal, numbers, opened, random)
                time.sleep(0.001)
        for table in range(len(NAMES)):
            tell(TOLD, table, numbers[table], numbers[table])


def append_some(journal: Journal, numbers: list[int], opened: list[int], random: Random) -> None:
    for table, name in enumerate(NAMES):
        for _ in range(random.randrange(4)):
            if not journal.append(name, row(name, numbers[table])):
                raise SystemExit("no row may be dropped here")
            numbers[table] += 1
        tell(TOLD, table, numbers[table], opened[table] + journal.acknowledged(name))
    if random.random() < 0.02:
        name = NAMES[1]
        journal.append_now(name, row(name, numbers[1])).result(10)
        numbers[1] += 1
        tell(TOLD, 1, numbers[1], numbers[1])


def tell(kind: int, table: int, appended: int, acknowledged: int) -> None:
    told = Told(kind, table, appended, acknowledged, time.monotonic_ns())
    os.write(1, RECORD.pack(*told))


if __name__ == "__main__":
    main()
