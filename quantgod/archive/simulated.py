"""Writes the simulated market as Bybit's daily archives, with faults where they are asked for."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from quantgod.archive.price_bars import read_price_bars
from quantgod.contracts import Progress, silent
from quantgod.files import atomic_path
from quantgod.market.price_path import PricePath, path_along, random_path
from quantgod.market.simulator import SimulatedMarket
from quantgod.settings import SimulateSettings

MINUTES_PER_DAY = 1440
MINUTES_AHEAD = 60


def write_archives(
    directory: Path,
    symbol: str,
    settings: SimulateSettings,
    faults: Sequence[object] = (),
    progress: Progress = silent,
) -> list[Path]:
    """Write `settings.days` daily zips under `directory` and return their paths in date order.

    Names and members are the venue's: `2024-01-01_BTCUSDT_ob500.data.zip` holds the one member
    `2024-01-01_BTCUSDT_ob500.data`. Same settings, same bytes.

    Raises:
        ValueError: where `settings.prices` is malformed or does not cover `settings.start`, or
            where prices are too low for the tick.
    """
    market = SimulatedMarket(symbol, settings, price_path(settings), start_ms(settings))
    paths = []
    for day in range(settings.days):
        name = f"{settings.start + dt.timedelta(days=day)}_{symbol}_ob{settings.levels}.data"
        progress(day, settings.days, name)
        path = directory / f"{name}.zip"
        _write_zip(path, name, market.day(day))
        paths.append(path)
    progress(settings.days, settings.days, symbol)
    return paths


def price_path(settings: SimulateSettings) -> PricePath:
    """The path that `settings` ask for: a random one, or along the bars of `settings.prices`."""
    minutes = settings.days * MINUTES_PER_DAY
    seed, signal = settings.seed, settings.signal
    if settings.prices is None:
        return random_path(
            minutes,
            seed=seed,
            price=settings.price,
            volatility=settings.volatility,
            signal=signal,
        )
    bars = read_price_bars(settings.prices, start_ms(settings), minutes + MINUTES_AHEAD)
    return path_along(bars, minutes, seed=seed, signal=signal)


def start_ms(settings: SimulateSettings) -> int:
    """Midnight of the first day, epoch ms."""
    return round(dt.datetime.combine(settings.start, dt.time(), dt.UTC).timestamp() * 1000)


def _write_zip(path: Path, member: str, chunks: Iterable[bytes]) -> None:
    """A quick deflate; the date inside is fixed, for the same bytes at any time."""
    info = zipfile.ZipInfo(member, date_time=(2024, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    with (
        atomic_path(path) as part,
        zipfile.ZipFile(part, "w", compresslevel=1) as archive,
        archive.open(info, "w", force_zip64=True) as target,
    ):
        for chunk in chunks:
            target.write(chunk)
