"""Turn archives into stored minute bars."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steps.console import progress_bar, say, tell
from steps.options import (
    config_options,
    run_option,
    series_options,
    setting,
    settings_from,
    step,
    switch,
)

if TYPE_CHECKING:
    from quantgod.archive.quality import QualityReport
    from quantgod.settings import EtlSettings


@step("days that were stored are kept, and the same command goes on with the others")
@config_options
@run_option("simulate")
@run_option("download")
@setting("--archives", "data.archives", "Folder of archives, searched recursively.")
@setting("--bars", "data.bars", "Folder that the bars go to, one Parquet a day, market and symbol.")
@series_options
@setting("--scheduler", "etl.scheduler", "Dask scheduler, such as tcp://127.0.0.1:8786.")
@setting("--workers", "etl.workers", "Processes on this machine; 0 = one a core.")
@switch("--allow-quarantine", "allow_quarantine", "Succeed although days were quarantined.")
@switch("--allow-thin", "allow_thin", "Succeed although days lost too many minutes.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    simulate_run: str | None,
    download_run: str | None,
    *,
    allow_quarantine: bool,
    allow_thin: bool,
    **options: Any,
) -> None:
    """Rebuild the book of a symbol's archives and store its minutes; what stands is skipped."""
    options["etl__allow_quarantine"] = allow_quarantine or None
    options["etl__allow_thin"] = allow_thin or None
    settings = settings_from(config, overrides, options)
    from quantgod.archive.etl import run_etl
    from quantgod.archive.quality import quality_figure
    from quantgod.parallel.work import check_schedulers
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply

    check_schedulers(settings.etl.scheduler)
    data = settings.data
    runs = {"simulate": simulate_run, "download": download_run}
    with stage("etl", settings, runs, supply("etl", settings, config, say)) as run:
        with progress_bar("etl") as progress:
            report = run_etl(
                run.inputs["archives"], data.market_bars, settings.etl, progress,
                symbol=data.symbol, market=data.market,
            )  # fmt: skip
        lines = [*report.left_out(), *report.refused(), *report.losses(), *report.empty()]
        for line in lines:
            say(line)
        run.json("quality", report.as_dict())
        run.figure("quality", quality_figure(report))
        run.metrics.log(report.figures())
        run.output(data.own_bars)
        run.headline(report.headline())
        _refuse_faults(report, settings.etl)
    tell(run)


def _refuse_faults(report: QualityReport, settings: EtlSettings) -> None:
    faults = {
        "--allow-quarantine": report.has_quarantine and not settings.allow_quarantine,
        "--allow-thin": report.thin and not settings.allow_thin,
    }
    if switches := " and ".join(switch for switch, is_found in faults.items() if is_found):
        raise click.ClickException(f"{report.headline()} ({switches} accepts that)")


if __name__ == "__main__":
    main()
