"""Test what forecasters of candles claim of series whose truth is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, remark, say, show_table
from steps.options import config_options, setting, settings_from, step

if TYPE_CHECKING:
    from quantgod.gates.forecast_power.power import ForecastPower
    from quantgod.tracking.stage import StageRun


@step("series that were judged are kept, and the same command goes on with the others")
@partial(config_options, config="conf/forecast_power.yaml")
@setting("--null", "forecast_power.null_series", "Series with nothing to find.")
@setting("--momentum", "forecast_power.momentum_series", "Series with planted momentum.")
@setting("--clusters", "forecast_power.clusters_series", "Series with clusters of volatility.")
@setting("--first-seed", "forecast_power.first_seed", "Of null series; others have their own.")
@setting("--workers", "forecast_power.workers", "Series at a time, a process each.")
@setting(
    "--scheduler",
    "forecast_power.scheduler",
    "A Dask cluster that judges them instead: tcp://HOST:8786.",
)
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Make and judge forecasters of many series; end with 1 if the demand is not met.

    It is that skill of the mean is claimed of no null series, and that what is planted is found in
    at least `forecast_power.found_in` of the series of its kind. Series that were judged are kept
    until code or settings change: who asks for more gets them beside those.
    """
    settings = settings_from(config, overrides, options)
    from quantgod.forecasters.candles.checking import check_members
    from quantgod.gates.forecast_power.power import finding_line
    from quantgod.gates.forecast_power.runs import run_forecast_power
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.stage import stage

    check_schedulers(settings.forecast_power.scheduler)
    check_members(settings)
    with stage("forecast_power", settings) as run, progress_bar("series") as progress:
        power = run_forecast_power(
            settings, run.lasting_place(), lambda one: remark(finding_line(one)), progress
        )
        _log(run, power)
    _show(power)
    if power.wrong:
        raise click.ClickException("; ".join(power.wrong))


def _log(run: StageRun, power: ForecastPower) -> None:
    import mlflow
    import msgspec
    import pandas as pd

    from quantgod.gates.forecast_power.figure import skills
    from quantgod.gates.forecast_power.power import KINDS, SERIES_HEAD, series_rows

    run.json("forecast_power", msgspec.to_builtins(power))
    table = pd.DataFrame(series_rows(power), columns=list(SERIES_HEAD), dtype=object)
    mlflow.log_table(table, "series_table.json", run_id=run.run_id)
    run.figure("skills", skills(power))
    run.metrics.log({f"{kind}_found": power.count(kind).passed for kind in KINDS})
    run.headline(power.headline)


def _show(power: ForecastPower) -> None:
    from quantgod.gates.forecast_power.power import HEAD, KINDS, gate_rows, summary_rows

    show_table("By kind of series: medians (from least to most)", HEAD, summary_rows(power))
    show_table("Gates passed", ("gate", *KINDS), gate_rows(power))
    say(power.headline)


if __name__ == "__main__":
    main()
