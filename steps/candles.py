"""Fill the store of candles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say_as_written, tell
from steps.options import (
    config_options,
    given,
    setting,
    settings_from,
    step,
    switch,
    values_from,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantgod.archive.candles.report import FillReport, SeriesReport
    from quantgod.archive.fetching import DownloadReport
    from quantgod.contracts import Progress
    from quantgod.settings import Settings

NAMED = 5
"""Lines of a kind that are printed; all are in the run."""


@step("what was fetched and stored stands, and the same command goes on with the rest")
@config_options
@given(
    "--source",
    "A file of candles in any form (CSV, Parquet, Feather, zip), or a folder of such, instead of "
    "what `candles.source` says; may be repeated.",
    multiple=True,
    type=click.Path(path_type=Path),
)
@setting("--from", "candles.source", "download, simulate, bars, or store: list what is there.")
@setting("--coins", "candles.coins", "Symbols, parted by commas: BTCUSDT,ETHUSDT.")
@setting("--market", "candles.market", "spot, linear or inverse.")
@setting("--interval", "candles.interval", "Of the candles: 1m to 12h, or 1d.")
@setting("--folder", "candles.folder", "Of the store.")
@setting("--first-day", "candles.first_day", "First day to download, YYYY-MM-DD.")
@setting("--last-day", "candles.last_day", "Last day to download; by default yesterday.")
@setting("--base-url", "candles.base_url", "Where kline archives are kept.")
@switch("--drop-last", "drop_last", "Leave out a file's newest candle: it had not closed.")
@switch("--allow-quarantine", "allow_quarantine", "Succeed although files were quarantined.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    source: Sequence[Path] | None,
    *,
    drop_last: bool,
    allow_quarantine: bool,
    **options: Any,
) -> None:
    """Store closed candles by symbol and interval, and list their holes; twice changes nothing."""
    options["candles__drop_last"] = drop_last or None
    options["etl__allow_quarantine"] = allow_quarantine or None
    settings = settings_from(config, overrides, options)
    from quantgod.tracking.stage import stage

    are_given = "candles.coins" in values_from(overrides, options)
    with stage("candles", settings) as run:
        with progress_bar("candles") as progress:
            if source:
                coins = settings.candles.coins if are_given else ()
                report, download = _from_files(source, coins, settings, progress), None
            else:
                report, download = _from_settings(settings, progress)
        run.json("filled", report.as_dict() | {"download": download and download.as_dict()})
        run.metrics.log(report.figures())
        run.headline(report.headline())
        _say(report, download)
        _refuse_faults(report, download, settings)
        run.output(settings.candles.folder / settings.candles.market)
    tell(run)


def _from_files(
    sources: Sequence[Path], coins: Sequence[str], settings: Settings, progress: Progress
) -> FillReport:
    from quantgod.archive.bar_files import files_by_symbol
    from quantgod.archive.candles.fill import fill_from_files

    files, others = files_by_symbol(sources, coins)
    for path in others[:NAMED]:
        say_as_written(f"left out, since it is named after another symbol: {path}")
    limits, now_ms = settings.etl.limits, time.time_ns() // 1_000_000
    return fill_from_files(files, settings.candles, limits, now_ms=now_ms, progress=progress)


def _from_settings(
    settings: Settings, progress: Progress
) -> tuple[FillReport, DownloadReport | None]:
    """Fill the store from what `candles.source` says, coin by coin."""
    from quantgod.archive.candles.report import FillReport

    own = settings.candles
    if own.source == "download":
        from quantgod.archive.candles.download import download_candles

        limits, now_ms = settings.etl.limits, time.time_ns() // 1_000_000
        came = download_candles(own, settings.download, limits, now_ms=now_ms, progress=progress)
        return came.fill, came.download
    series = []
    for done, coin in enumerate(own.coins, start=1):
        series += _stored(settings, coin)
        progress(done, len(own.coins), coin)
    return FillReport(series), None


def _stored(settings: Settings, coin: str) -> list[SeriesReport]:
    """Simulate a coin's candles, make them of bars, or find what is stored."""
    from quantgod.archive.candles.fill import store_series, stored_reports

    own = settings.candles
    if own.source == "store":
        return stored_reports(own.folder, own.market, coin, own.interval)
    if own.source == "bars":
        from quantgod.archive.candles.bars import SOURCE, candles_of_bars

        bars, volumes = settings.data.bars / own.market, own.messages_as_volume
        made = candles_of_bars(bars, own.market, coin, own.interval, messages_as_volume=volumes)
        return [store_series(own.folder, made, SOURCE)]
    from quantgod.archive.candles.store import SIMULATED
    from quantgod.simulation.candles import simulate_candles

    source = f"{SIMULATED}, seed {own.simulate.seed}"
    return [store_series(own.folder, simulate_candles(own, coin), source)]


def _say(report: FillReport, download: DownloadReport | None) -> None:
    """Print what was stored where, its holes, and what is to be known of files."""
    for one in report.series:
        say_as_written(f"{one.headline()}: {one.file}")
        for line in one.told_holes(NAMED):
            say_as_written(f"  {line}")
    for line in report.remarks(NAMED):
        say_as_written(line)
    if download and download.absent:
        more = len(download.absent) - NAMED
        named = ", ".join(download.absent[-NAMED:])
        say_as_written(f"absent: {named}" + (f" and {more} before" if more > 0 else ""))


def _refuse_faults(report: FillReport, download: DownloadReport | None, settings: Settings) -> None:
    if download and download.failed:
        raise click.ClickException(download.failure_message())
    if download and download.forbidden and not (download.fetched or download.skipped):
        raise click.ClickException(
            "nothing is there, and the server answered 403: it has none of these, or refuses this "
            "machine"
        )
    if not report.series:
        raise click.ClickException(f"no candle is stored: {report.headline()}")
    if report.refused and not settings.etl.allow_quarantine:
        raise click.ClickException(f"{report.headline()} (--allow-quarantine accepts that)")


if __name__ == "__main__":
    main()
