"""Import own minute bars into the store of bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import progress_bar, say, tell
from steps.options import config_options, series_options, setting, settings_from, step, values_from


@step("days that were stored stand, and the same command writes them again")
@config_options
@click.option(
    "--source",
    "sources",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A CSV, Parquet or Feather file of minute bars, or a folder of such; may be repeated.",
)
@click.option(
    "--unit",
    default="ms",
    show_default=True,
    type=click.Choice(["s", "ms", "us", "ns"]),
    help="Of times that are numbers.",
)
@series_options
@setting("--bars", "data.bars", "Folder that the bars go to, one Parquet a day, market and symbol.")
def main(
    config: Path, overrides: tuple[str, ...], sources: tuple[Path, ...], unit: Any, **options: Any
) -> None:
    """Store minutes of open, high, low and close, or of the nine features, as `label` takes them.

    A feature that neither a column gives nor prices tell is named, and stands at zero.
    """
    settings = settings_from(config, overrides, options)
    from quantgod.archive.bar_files import other_symbols
    from quantgod.archive.own_bars import import_bars
    from quantgod.tracking.stage import stage

    symbol, others = settings.data.symbol, other_symbols(sources, settings.data.symbol)
    if others and "data.symbol" not in values_from(overrides, options):
        raise click.UsageError(
            f"files are named after {', '.join(others)}, and the settings' symbol is {symbol}: "
            f"give --symbol {others[0]}, or --symbol {symbol} if they hold bars of that"
        )
    if others:
        say(f"files are named after {', '.join(others)}, and stored as bars of {symbol}, as asked")
    with stage("import_bars", settings) as run:
        with progress_bar("import") as progress:
            report = import_bars(sources, settings.data, settings.etl, unit, progress)
        run.json("imported", report.as_dict())
        run.metrics.log({"rows": report.rows, "days": report.days, "levels": report.levels})
        run.output(settings.data.own_bars)
        run.headline(report.headline())
        if report.lacks:
            say(f"not known, so zero in every row: {', '.join(report.lacks)}")
    tell(run)


if __name__ == "__main__":
    main()
