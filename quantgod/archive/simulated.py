"""Writes the simulated market as Bybit's daily archives, with faults where they are asked for."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any

from quantgod.archive.faults.fault import Fault
from quantgod.archive.plan import archive_name, find_archives
from quantgod.archive.price_bars import prices_file, read_price_bars
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import Progress, silent
from quantgod.files import file_digest
from quantgod.market.price_path import Latent, PricePath, path_along, random_path
from quantgod.market.simulator import SimulatedMarket
from quantgod.settings import DataSettings, SimulateSettings

MINUTES_PER_DAY = 1440
MINUTES_AHEAD = 60


def write_archives(
    directory: Path,
    symbol: str,
    settings: SimulateSettings,
    faults: Sequence[Fault] = (),
    progress: Progress = silent,
) -> list[Path]:
    """Write `settings.days` daily zips under `directory`; returns the files in date order.

    Names and members are the venue's: `2024-01-01_BTCUSDT_ob500.data.zip` holds the one member
    `2024-01-01_BTCUSDT_ob500.data`. Same settings, same bytes. A fault falls on its own day; the
    faults of a day follow each other in the order given, those in lines first.

    Raises:
        ValueError: where `settings.prices` is absent, malformed or does not cover `settings.start`,
            where prices are too low for the tick, or where a fault changes nothing.
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
        progress(day, settings.days, name)
        written += _write_day(directory / f"{name}.zip", name, market.day(day), due)
    progress(settings.days, settings.days, symbol)
    return written


def strangers(data: DataSettings, settings: SimulateSettings) -> list[Path]:
    """Archives of the series that are not among those that this simulation writes.

    Left from another one, they would be read as if they were days of this one.

    Raises:
        ValueError: where something else than a folder is in the place of the archives.
    """
    if not data.archives.exists():
        return []
    days = (settings.start + dt.timedelta(days=day) for day in range(settings.days))
    own = {
        data.own_archives / f"{archive_name(data.symbol, day, settings.levels)}.zip" for day in days
    }
    found, _ = find_archives(data.archives, data.market, data.symbol)
    return [file.path for file in found if file.path not in own]


def price_path(settings: SimulateSettings) -> PricePath:
    """The path that `settings` ask for: a random one, or along the bars of `settings.prices`."""
    minutes = settings.days * MINUTES_PER_DAY
    seed, signal = settings.seed, settings.signal
    latent = Latent(settings.half_life_minutes, settings.lean_noise, settings.lead_minutes)
    if settings.prices is None:
        return random_path(
            minutes,
            seed=seed,
            price=settings.price,
            volatility=settings.volatility,
            signal=signal,
            latent=latent,
        )
    bars = read_price_bars(
        prices_file(settings.prices),
        start_ms(settings),
        minutes + MINUTES_AHEAD,
        MINUTES_AHEAD,
        settings.prices_unit,
    )
    return path_along(bars, minutes, seed=seed, signal=signal, latent=latent)


def start_ms(settings: SimulateSettings) -> int:
    """Midnight of the first day, epoch ms."""
    return round(dt.datetime.combine(settings.start, dt.time(), dt.UTC).timestamp() * 1000)


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
