"""Download real archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steps.console import progress_bar, say, tell
from steps.options import config_options, series_options, setting, settings_from, step


@step("what was fetched is kept, and the same command goes on with the rest")
@config_options
@setting("--archives", "data.archives", "Folder that the archives go to.")
@series_options
@setting("--first-day", "download.first_day", "First day, YYYY-MM-DD.")
@setting("--last-day", "download.last_day", "Last day, YYYY-MM-DD.")
@setting("--base-url", "download.base_url", "Where the archives are kept.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Fetch the archives of a symbol and a range of days; what is there is not fetched again."""
    settings = settings_from(config, overrides, options)
    if settings.data.source == "simulate":
        raise click.UsageError(
            f"{config} simulates its archives in {settings.data.archives}, where real ones would "
            "mix with them: give --config conf/full.yaml, or a file of your own that inherits it"
        )
    from quantgod.archive.download import download
    from quantgod.tracking.stage import stage

    folder = settings.data.archives
    with stage("download", settings) as run, progress_bar("download") as progress:
        report = download(settings.data, settings.download, progress)
        run.json("download", report.as_dict())
        run.metrics.log({"fetched": len(report.fetched), "absent": len(report.absent)})
        run.output(folder)
        run.headline(report.headline())
        for day in report.absent:
            say(f"absent: {day}")
        if report.failed:
            raise click.ClickException(report.failure_message())
        if report.forbidden and not (report.fetched or report.skipped):
            raise click.ClickException(
                "nothing is there, and the server answered 403: it has none of these days, or "
                "refuses this machine"
            )
    tell(run)


if __name__ == "__main__":
    main()
