"""Compute the 112 features of stored minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.console import progress_bar, say, tell
from steps.options import config_options, run_option, series_options, setting, settings_from, step


@step()
@config_options
@run_option("etl")
@setting("--bars", "data.bars", "Folder of the bars, where no etl run is given.")
@setting("--features", "data.features", "Folder that the features go to.")
@series_options
def main(config: Path, overrides: tuple[str, ...], etl_run: str | None, **options: Any) -> None:
    """Compute the features of book, candle and indicators for every minute that has enough past."""
    settings = settings_from(config, overrides, options)
    from quantgod.dataset.feature_file import write_features
    from quantgod.dataset.series import bars_series
    from quantgod.evaluation.plots import feature_spreads
    from quantgod.tracking.stage import data_path, stage
    from quantgod.tracking.supply import supply

    inputs = supply("features", settings, config, say)
    with (
        stage("features", settings, {"etl": etl_run}, inputs) as run,
        progress_bar("features") as progress,
    ):
        store = run.inputs["bars"].parent
        series = bars_series(store, settings.data)
        path, bridge = data_path("features", settings), settings.etl.max_bridge_minutes
        spread = write_features(store, series, path, bridge, progress)
        worst = spread.missing.argmax()
        run.metrics.log({"rows": spread.rows, "missing": float(spread.missing.mean())})
        run.json("features", spread.to_json())
        run.figure("features", feature_spreads(spread.names, spread.missing, spread.quantiles))
        run.output(path)
        run.headline(
            f"{len(spread.names)} features of {spread.rows:,} minutes; most often missing: "
            f"{spread.names[worst]}, in {spread.missing[worst]:.1%}"
        )
    tell(run)


if __name__ == "__main__":
    main()
