"""Write archives of a synthetic market, so that everything runs without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import progress_bar, tell
from steps.options import config_options, series_options, setting, settings_from, step


@step("archives that were written stand, and the same command writes them again")
@config_options
@setting("--archives", "data.archives", "Folder that the archives go to.")
@series_options
@setting("--start", "simulate.start", "First day, YYYY-MM-DD.")
@setting("--days", "simulate.days", "Days to write.")
@setting("--levels", "simulate.levels", "Levels a side: 200 or 500.")
@setting("--cadence", "simulate.cadence_ms", "Milliseconds between messages.")
@setting("--seed", "simulate.seed", "Same seed, same bytes.")
@setting("--signal", "simulate.signal", "Strength of the planted signal, 0 (none) to 1.")
@setting("--planted", "simulate.planted", "What shows it: lean, shape, flow, candles or memory.")
@setting("--prices", "simulate.prices", "File of minute bars whose path the mid follows.")
@setting("--unit", "simulate.prices_unit", "Of its times, where they are numbers: s, ms, us or ns.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Write daily archives of a seeded synthetic market, in the form of Bybit's."""
    settings = settings_from(config, overrides, options)
    from quantgod.simulation.archives import strangers, write_archives
    from quantgod.tracking.stage import stage

    folder = settings.data.archives
    with stage("simulate", settings) as run, progress_bar("simulate") as progress:
        if others := strangers(settings.data, settings.simulate):
            raise click.ClickException(
                f"{folder} holds {len(others)} archives of {settings.data.symbol} that this "
                f"simulation does not write ({others[0]}, ...): remove them and the bars made of "
                "them, or choose other folders"
            )
        own, symbol = settings.data.own_archives, settings.data.symbol
        paths = write_archives(own, symbol, settings.simulate, progress=progress)
        size = sum(path.stat().st_size for path in paths) / 1e6
        run.metrics.log({"archives": len(paths), "megabytes": size})
        run.output(own)
        run.headline(f"{len(paths)} days, {size:.0f} MB")
    tell(run)


if __name__ == "__main__":
    main()
