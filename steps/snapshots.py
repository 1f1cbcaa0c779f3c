"""Keep the best levels of the book before each stored minute's close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import progress_bar, say, tell
from steps.options import config_options, run_option, series_options, setting, settings_from, step


@step("days that were stored are kept, and the same command goes on with the others")
@config_options
@run_option("etl")
@setting("--archives", "data.archives", "Folder of archives, searched recursively.")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--snapshots", "data.snapshots", "Folder that the snapshots go to.")
@series_options
@setting("--levels", "snapshots.levels", "Best levels a side.", type=click.INT)
@setting("--interval-ms", "snapshots.interval_ms", "Milliseconds between two.", type=click.INT)
@setting("--per-minute", "snapshots.per_minute", "How many before each close.", type=click.INT)
def main(config: Path, overrides: tuple[str, ...], etl_run: str | None, **options: Any) -> None:
    """Keep snapshots of the book, and blocks of the last ones before each stored minute's close."""
    settings = settings_from(config, overrides, options)
    from quantgod.archive.snapshots import run_snapshots
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply

    check_schedulers(settings.etl.scheduler)
    data = settings.data
    inputs = supply("snapshots", settings, config, say)
    with (
        stage("snapshots", settings, {"etl": etl_run}, inputs) as run,
        progress_bar("snapshots") as progress,
    ):
        report = run_snapshots(
            run.inputs["archives"], run.inputs["bars"].parent, data.market_snapshots,
            data.symbol, data.market, settings.etl, settings.snapshots, progress,
        )  # fmt: skip
        for date in report.unread:
            say(f"{date}: no snapshots, its bars were not made from an archive that is here")
        run.json("snapshots", report.to_json())
        run.metrics.log(report.figures())
        run.output(data.own_snapshots)
        run.headline(report.headline())
    tell(run)


if __name__ == "__main__":
    main()
