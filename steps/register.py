"""Register base and auditor as one model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from steps.console import progress_bar, say, tell
from steps.options import config_options, run_option, setting, settings_from, step


@step()
@config_options
@run_option("label")
@run_option("train")
@run_option("audit")
@setting("--name", "registry.name", "Name of the registered model.")
def main(
    config: Path,
    overrides: tuple[str, ...],
    label_run: str | None,
    train_run: str | None,
    audit_run: str | None,
    **options: Any,
) -> None:
    """Chain the trained network and the auditor into one version, with its lineage."""
    settings = settings_from(config, overrides, options)
    import pandas as pd

    from quantgod.auditor.auditor import load_auditor
    from quantgod.auditor.out_of_fold import ROWS_FILE
    from quantgod.dataset.series import check_one_series, read_series
    from quantgod.dataset.table import read_table, table_series
    from quantgod.files import atomic_path
    from quantgod.registry.evidence_runs import check_makers
    from quantgod.registry.lineage import lineage_of_run
    from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
    from quantgod.registry.ownership import check_name
    from quantgod.registry.package import GoldenRows, build_package
    from quantgod.registry.reference import reference_of
    from quantgod.registry.versions import register
    from quantgod.tracking.keys import artifacts_of
    from quantgod.tracking.stage import stage
    from quantgod.tracking.supply import supply
    from quantgod.training.weights import load_network

    runs = {"label": label_run, "train": train_run, "audit": audit_run}
    with (
        stage("register", settings, runs, supply("register", settings, config, say)) as run,
        progress_bar("register") as progress,
        run.scratch() as folder,
    ):
        check_makers(run.client, run.upstream, settings)
        trained = artifacts_of(run.needed("train"), "network", folder)
        network = load_network(trained)
        auditor = artifacts_of(run.needed("audit"), "auditor", folder)
        parts = {"network": read_series(trained), "auditor": read_series(auditor)}
        series = check_one_series({"labels": table_series(run.inputs["labels"]), **parts})
        check_name(run.client, settings.registry.name, series)
        forecast = pd.read_parquet(
            artifacts_of(run.needed("audit"), "out_of_fold", folder) / ROWS_FILE
        )
        progress(1, 3, "fetched")
        table = read_table(run.inputs["labels"])
        bridge = settings.etl.max_bridge_minutes
        golden = GoldenRows(table, settings.registry.golden_rows, bridge)
        reference = reference_of(table, network.scaler, load_auditor(auditor), forecast)
        package = build_package(folder / "package", network, auditor, golden, reference, series)
        progress(2, 3, "packed")
        kept = keep_settings(run.outbox.artifacts / SETTINGS_FILE, settings)
        version = register(package, settings.registry.name, lineage_of_run(run, kept).tags())
        with atomic_path(settings.example) as part:
            shutil.copyfile(folder / "package" / "golden_input.json", part)
        progress(3, 3, "registered")
        run.metrics.log({"export_difference": package.export_difference})
        run.output(name=settings.registry.name, version=str(version))
        run.headline(f"{settings.registry.name} version {version}, of {series}")
    tell(run)


if __name__ == "__main__":
    main()
