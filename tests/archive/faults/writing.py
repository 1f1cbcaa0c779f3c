"""Writes simulated archives as `quantgod.simulation.archives` does, with faults put in."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any

from quantgod.archive.plan import archive_name
from quantgod.archive.zip_writer import write_zip
from quantgod.files import file_digest
from quantgod.settings import SimulateSettings
from quantgod.simulation.archives import price_path, start_ms
from quantgod.simulation.market import SimulatedMarket
from tests.archive.faults.fault import Fault


def write_faulty(
    directory: Path, symbol: str, settings: SimulateSettings, faults: Sequence[Fault] = ()
) -> list[Path]:
    """Write `settings.days` daily zips under `directory`; returns the files in date order.

    A fault falls on its own day; the faults of a day follow each other in the order given, those
    in lines first.

    Raises:
        ValueError: where a fault changes nothing.
    """
    path = price_path(settings)
    market = SimulatedMarket(symbol, settings, path, start_ms(settings))
    written: list[Path] = []
    for day in range(settings.days):
        due = [fault for fault in faults if fault.day == day]
        for levels in (fault.levels for fault in due if fault.levels):
            other = settings.model_copy(update={"levels": levels})
            market = SimulatedMarket(symbol, other, path, start_ms(settings))
        date = settings.start + dt.timedelta(days=day)
        name = archive_name(symbol, date, market.levels)
        written += _write_day(directory / f"{name}.zip", name, market.day(day), due)
    return written


def _write_day(
    path: Path, member: str, chunks: Iterable[bytes], faults: Sequence[Fault]
) -> list[Path]:
    spoilt = [fault for fault in faults if fault.lines]
    if spoilt:
        lines = (line for chunk in chunks for line in chunk.splitlines(keepends=True))
        chunks = _in_chunks(reduce(_spoil, spoilt, lines))
    write_zip(path, member, chunks)
    paths = [path]
    for fault in faults:
        if fault.archive:
            before = _contents([path])
            paths = fault.archive(path)
            if _contents(paths) == before:
                raise ValueError(f"the fault {fault.name} changed nothing in {path.name}")
    return paths


def _spoil(lines: Iterator[bytes], fault: Fault) -> Iterator[bytes]:
    """The lines as the fault leaves them, which must not be as they were."""
    before, after = hashlib.sha256(), hashlib.sha256()
    for line in (fault.lines or iter)(_noted(lines, before)):
        after.update(line)
        yield line
    if before.digest() == after.digest():
        raise ValueError(f"the fault {fault.name} changed no line")


def _noted(lines: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line


def _contents(paths: Iterable[Path]) -> set[tuple[Path, str]]:
    return {(path, file_digest(path)) for path in paths}


def _in_chunks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Many lines at a time: deflate is slow in small bites."""
    return (b"".join(batch) for batch in iter(lambda: list(islice(lines, 4096)), []))
