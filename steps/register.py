"""Register base and auditor as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steps.console import progress_bar, say, tell
from steps.options import (
    config_options,
    member_option,
    run_option,
    runs_given,
    series_options,
    setting,
    settings_from,
    step,
)


@step()
@config_options
@member_option
@run_option("label")
@run_option("features")
@run_option("snapshots")
@run_option("train")
@run_option("members")
@run_option("audit")
@series_options
@setting("--name", "registry.name", "Name of the registered model.")
def main(config: Path, overrides: tuple[str, ...], **options: Any) -> None:
    """Chain the trained network and the auditor into one version, with its lineage."""
    runs, settings = runs_given(options), settings_from(config, overrides, options)
    from quantgod.registry.registration import register_run
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply

    inputs = supply("register", settings, config, say)
    with stage("register", settings, runs, inputs) as run, progress_bar("register") as progress:
        made = register_run(run, progress)
        run.metrics.log({"export_difference": made.export_difference})
        run.output(name=made.name, version=str(made.version))
        same = "" if made.same_as is None else f"; the same model as version {made.same_as}"
        run.headline(f"{made.name} version {made.version}, of {made.series}{same}")
    tell(run)


if __name__ == "__main__":
    main()
