"""Write the simulated market as daily archives in Bybit's format."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from quantgod.archive.plan import archive_name, find_archives
from quantgod.archive.zip_writer import write_zip
from quantgod.contracts import Progress, silent
from quantgod.settings import DataSettings, SimulateSettings
from quantgod.simulation.market import SimulatedMarket
from quantgod.simulation.planted import planted_path
from quantgod.simulation.price_file import prices_file, read_price_bars
from quantgod.simulation.price_path import Latent, PricePath, path_along

MINUTES_PER_DAY = 1440
MINUTES_AHEAD = 60


def write_archives(
    directory: Path, symbol: str, settings: SimulateSettings, progress: Progress = silent
) -> list[Path]:
    """Write `settings.days` daily zips below `directory`; return the files in date order.

    Names and members are as at the venue: `2024-01-01_BTCUSDT_ob500.data.zip` has the one member
    `2024-01-01_BTCUSDT_ob500.data`. Same settings, same bytes.

    Raises:
        ValueError: if `settings.prices` is missing, malformed or does not cover `settings.start`,
            or prices are too low for the tick.
    """
    market = SimulatedMarket(symbol, settings, price_path(settings), start_ms(settings))
    written: list[Path] = []
    for day in range(settings.days):
        name = archive_name(symbol, settings.start + dt.timedelta(days=day), settings.levels)
        progress(day, settings.days, name)
        written.append(directory / f"{name}.zip")
        write_zip(written[-1], name, market.day(day))
    progress(settings.days, settings.days, symbol)
    return written


def strangers(data: DataSettings, settings: SimulateSettings) -> list[Path]:
    """Return archives of the series that this simulation does not write.

    Left from another simulation, they would be read as days of this one.

    Raises:
        ValueError: if the place of the archives is not a folder.
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
    """Return the price path of the settings: random, or along the bars of `settings.prices`."""
    minutes = settings.days * MINUTES_PER_DAY
    if settings.prices is None:
        return planted_path(settings, minutes)
    latent = Latent(settings.half_life_minutes, settings.lean_noise, settings.lead_minutes)
    bars = read_price_bars(
        prices_file(settings.prices),
        start_ms(settings),
        minutes + MINUTES_AHEAD,
        MINUTES_AHEAD,
        settings.prices_unit,
    )
    return path_along(bars, minutes, seed=settings.seed, signal=settings.signal, latent=latent)


def start_ms(settings: SimulateSettings) -> int:
    """Return midnight of the first day, epoch ms."""
    return round(dt.datetime.combine(settings.start, dt.time(), dt.UTC).timestamp() * 1000)
