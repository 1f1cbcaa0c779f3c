"""A stage of the pipeline as an MLflow run: opened, described, fed, and closed whatever happens."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.exceptions import MlflowException
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from quantgod.files import write_json
from quantgod.settings import Settings
from quantgod.tracking.keys import KEY_TAG, OUTPUT_FILE, path_digest, stage_key, stage_settings
from quantgod.tracking.orphans import PROCESS_TAG, close_orphans, process_tag
from quantgod.tracking.outbox import MetricBuffer, Outbox, deliver_left_over
from quantgod.tracking.store import PROJECT, connect

ERROR_TAG = "quantgod.error"
HEADLINE_TAG = "quantgod.headline"
STAGE_TAG = "quantgod.stage"
DIGEST_CHARACTERS = 32  # MLflow stores at most 36 of a dataset's digest
TAG_CHARACTERS = 5_000


@dataclass
class StageRun:
    """What a stage may say of itself. Artifacts lie in the outbox until the stage ends."""

    run_id: str
    key: str
    client: MlflowClient
    outbox: Outbox
    metrics: MetricBuffer
    tags: dict[str, str] = field(default_factory=dict)

    def figure(self, name: str, figure: Figure) -> None:
        """Keep a figure as `figures/NAME.png`."""
        target = self.outbox.artifacts / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        figure.savefig(target, dpi=120, bbox_inches="tight")

    def json(self, name: str, value: Any) -> None:
        """Keep a value as `NAME.json`."""
        write_json(self.outbox.artifacts / f"{name}.json", value)

    def folder(self, name: str, source: Path) -> None:
        """Keep a copy of a folder under `name`."""
        shutil.copytree(source, self.outbox.artifacts / name)

    def output(self, path: Path | None = None, **values: str) -> None:
        """Say what later stages may take: data at `path`, and named values."""
        if path is not None:
            values |= {"path": str(path.resolve()), "digest": path_digest(path)}
        write_json(self.outbox.artifacts / OUTPUT_FILE, values)

    def headline(self, text: str) -> None:
        """The stage's key figures in a line, for the closing table."""
        self.tags[HEADLINE_TAG] = text


@contextmanager
def stage(
    name: str,
    settings: Settings,
    *,
    inputs: Mapping[str, Path] | None = None,
    upstream: Mapping[str, str] | None = None,
) -> Iterator[StageRun]:
    """Run a stage: join the run that `mlflow run` made, or open one; close it with its outcome.

    Args:
        name: the entry point.
        settings: of which the stage's own sections are logged.
        inputs: data that the stage reads, by name; digested and logged as MLflow datasets.
        upstream: ids of the runs whose results it takes, by stage.
    """
    client = connect(settings.tracking)
    outbox_folder = PROJECT / settings.tracking.outbox
    deliver_left_over(client, outbox_folder)
    active = mlflow.start_run()
    close_orphans(client, [active.info.experiment_id])
    run_id = active.info.run_id
    digests = {label: path_digest(path) for label, path in (inputs or {}).items()}
    runs = {label: run for label, run in (upstream or {}).items() if run}
    keys = {label: _tag(client, run, KEY_TAG) for label, run in runs.items()}
    key = stage_key(name, settings, digests, keys)
    _describe(name, settings, key, runs)
    _log_inputs(inputs or {}, digests)
    outbox = Outbox(outbox_folder, run_id)
    metrics = MetricBuffer(client, outbox, settings.tracking.flush_seconds)
    run = StageRun(run_id, key, client, outbox, metrics)
    status = "KILLED"
    try:
        yield run
        status = "FINISHED"
    except Exception as error:
        status = "FAILED"
        run.tags[ERROR_TAG] = f"{type(error).__name__}: {error}"[:TAG_CHARACTERS]
        raise
    finally:
        _finish(run, status)


def _finish(run: StageRun, status: str) -> None:
    run.metrics.close()
    run.outbox.end(status, run.tags)
    try:
        run.outbox.deliver(run.client)
        mlflow.end_run(status)
    except MlflowException as error:
        warnings.warn(
            f"The tracking server cannot be reached; what run {run.run_id} has to tell is kept in "
            f"{run.outbox.folder} and goes out with the next command ({error})",
            stacklevel=2,
        )


def _describe(name: str, settings: Settings, key: str, upstream: Mapping[str, str]) -> None:
    tags = {
        MLFLOW_RUN_NAME: name,
        STAGE_TAG: name,
        KEY_TAG: key,
        PROCESS_TAG: process_tag(),
        "quantgod.commit": get_git_commit(str(PROJECT / "MLproject")) or "not a git checkout",
        "quantgod.settings": settings.digest(),
        **{f"quantgod.upstream.{label}": run_id for label, run_id in upstream.items()},
    }
    mlflow.set_tags(tags)
    mlflow.log_params(dict(_flat("", stage_settings(name, settings))))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def _log_inputs(inputs: Mapping[str, Path], digests: Mapping[str, str]) -> None:
    for label, path in inputs.items():
        source = resolve_dataset_source(str(path.resolve()))
        digest = digests[label][:DIGEST_CHARACTERS]
        # MLflow declares `profile` abstract and then leaves it out of its own class.
        dataset = MetaDataset(source, name=label, digest=digest)  # type: ignore[abstract]
        mlflow.log_input(dataset, context=label)
        mlflow.set_tag(f"quantgod.input.{label}", digests[label])


def _tag(client: MlflowClient, run_id: str, tag: str) -> str:
    return str(client.get_run(run_id).data.tags.get(tag, run_id))
