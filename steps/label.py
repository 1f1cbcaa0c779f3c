"""Label minute bars with the class of the next hour's return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.console import progress_bar, say, tell
from steps.options import config_options, run_option, series_options, setting, settings_from, step


@step()
@config_options
@run_option("etl")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--labels", "data.labels", "Folder that the labelled table goes to.")
@series_options
@setting("--horizon", "label.horizon_minutes", "Minutes that a label looks ahead.")
def main(config: Path, overrides: tuple[str, ...], etl_run: str | None, **options: Any) -> None:
    """Join the days, number the runs, and label every minute whose next hour is known."""
    settings = settings_from(config, overrides, options)
    from quantgod.archive.store import load_bars
    from quantgod.dataset.labels import label, summary
    from quantgod.dataset.series import bars_series
    from quantgod.dataset.table import write_table
    from quantgod.evaluation.plots import label_distribution
    from quantgod.tracking.stage import data_path, stage
    from quantgod.tracking.supply import supply

    inputs = supply("label", settings, config, say)
    with (
        stage("label", settings, {"etl": etl_run}, inputs) as run,
        progress_bar("label") as progress,
    ):
        store = run.inputs["bars"].parent
        series = bars_series(store, settings.data)
        bars = load_bars(store, series.symbol)
        progress(1, 3, f"{len(bars)} minutes read")
        table = label(bars, settings.label, settings.etl.max_bridge_minutes)
        path = data_path("labels", settings)
        write_table(path, table, series)
        progress(2, 3, "written")
        figures = summary(table)
        run.metrics.log(figures)
        run.figure("labels", label_distribution(table, settings.label))
        run.output(path)
        progress(3, 3, "")
        run.headline(headline(figures))
    tell(run)


def headline(figures: dict[str, float]) -> str:
    """Return the classes' shares in one line."""
    shares = ", ".join(
        f"{name.removeprefix('share_').upper()} {share:.0%}"
        for name, share in figures.items()
        if name.startswith("share_")
    )
    return f"{figures['labelled']:.0f} minutes: {shares}"


if __name__ == "__main__":
    main()
