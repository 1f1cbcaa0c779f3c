"""Make a version: chain the network and the auditor of earlier runs, and register it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from quantgod.auditor.auditor import load_auditor
from quantgod.contracts import Progress, Series, silent
from quantgod.dataset.learning_table import learned_from
from quantgod.dataset.series import check_one_series, table_series
from quantgod.files import atomic_path
from quantgod.registry.evidence_runs import check_makers
from quantgod.registry.lineage import lineage_of_run
from quantgod.registry.own_settings import SETTINGS_FILE, keep_settings
from quantgod.registry.ownership import check_name
from quantgod.registry.package import GoldenRows, Package, build_package
from quantgod.registry.reference import reference_of
from quantgod.registry.registered import all_versions, known_version
from quantgod.registry.semantic_version import is_same_model
from quantgod.registry.versions import register
from quantgod.tracking.stage import StageRun
from quantgod.tracking.stage_outputs import audit_output, base_output


@dataclass(frozen=True)
class Registration:
    """A new registered version.

    Attributes:
        name: of the registered model.
        version: its number.
        series: of its rows.
        same_as: number of the newest earlier version that is the same model, or None.
        export_difference: largest difference between the graph and the torch module.
    """

    name: str
    version: int
    series: Series
    same_as: int | None
    export_difference: float


def register_run(run: StageRun, progress: Progress = silent) -> Registration:
    """Chain the network and the auditor given to a run, and register them with lineage.

    An example request is written to the settings' path.

    Args:
        run: of the stage `register`, with runs of label, train and audit.
        progress: called for the three parts of the work.

    Raises:
        OtherEvidenceError: if those runs used other settings.
        SeriesError: if they are not of one series.
        OtherSeriesError: if the name has versions of another series.
    """
    settings = run.settings
    check_makers(run.client, run.upstream, settings)
    with run.scratch() as folder:
        package = _packed(run, folder, progress)
        progress(2, 3, "packed")
        kept = keep_settings(run.outbox.artifacts / SETTINGS_FILE, settings)
        name = settings.registry.name
        version = register(package, name, lineage_of_run(run, kept).tags())
        with atomic_path(settings.example) as part:
            shutil.copyfile(package.folder / "golden_input.json", part)
    progress(3, 3, "registered")
    same = same_before(run.client, name, version)
    return Registration(name, version, package.series, same, package.export_difference)


def same_before(client: MlflowClient, name: str, number: int) -> int | None:
    """Return the newest version before `number` that is the same model, or None."""
    own = known_version(client, name, number).tags
    before = [one for one in all_versions(client, name) if int(one.version) < number]
    same = [int(one.version) for one in before if is_same_model(own, one.tags)]
    return max(same, default=None)


def _packed(run: StageRun, folder: Path, progress: Progress) -> Package:
    (base, trained), auditor = base_output(run, folder), audit_output(run, folder)
    labels = run.inputs["labels"]
    parts = {"network": trained, "auditor": auditor.series}
    series = check_one_series({"labels": table_series(labels), **parts})
    check_name(run.client, run.settings.registry.name, series)
    progress(1, 3, "fetched")
    table, snapshots = learned_from(run.inputs).table, run.inputs.get("snapshots")
    bridge = run.settings.etl.max_bridge_minutes
    golden = GoldenRows(table, run.settings.registry.golden_rows, bridge, snapshots)
    fitted = load_auditor(auditor.folder)
    reference = reference_of(table, base.scaler, fitted, auditor.rows, base.inputs.columns)
    place = folder / "package"
    return build_package(place, base, auditor.folder, golden, reference, series)
