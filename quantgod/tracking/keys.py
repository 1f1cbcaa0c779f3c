"""What makes two runs of a stage the same, and the finished run that makes a new one needless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from quantgod.files import file_digest, files_below, tree_digest, value_digest
from quantgod.settings import (
    AuditSettings,
    DataSettings,
    EtlSettings,
    LiveSettings,
    Settings,
    TrainSettings,
)
from quantgod.tracking.store import PROJECT

KEY_TAG = "quantgod.key"
OUTPUT_FILE = "output.json"
NO_CHAMPION = "none"
UNREPEATABLE = frozenset({"optimize", "register"})
"""Stages that, run again, give something else: a search has grown, a version is another one."""

DATA_STAGES = frozenset({"simulate", "download", "etl", "import_bars", "label"})
"""Stages that make data, of which a digest is taken wherever it is read."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "simulate": ("data", "simulate"),
    "download": ("data", "download"),
    "etl": ("data", "etl"),
    "import_bars": ("data", "etl"),
    "label": ("data", "label", "etl"),
    "optimize": ("window", "split", "model", "train", "optimize"),
    "train": ("window", "split", "model", "train"),
    "audit": ("label", "window", "split", "model", "train", "audit"),
    "register": (
        "data",
        "etl",
        "label",
        "window",
        "split",
        "model",
        "train",
        "optimize",
        "audit",
        "registry",
        "evaluate",
        "backtest",
        "leak_audit",
        "gates",
    ),
    "evaluate": ("data", "label", "split", "train", "audit", "evaluate", "gates"),
    "backtest": ("data", "etl", "label", "backtest"),
    "leak_audit": ("etl", "label", "window", "split", "model", "train", "audit", "leak_audit"),
    "gates": ("etl", "label", "registry", "evaluate", "gates", "live"),
    "promote": ("registry", "gates"),
    "power": tuple(Settings.model_fields),
    "intervals": (),
    "live": ("data", "etl", "registry", "live"),
    "collect": ("etl", "live"),
    "main": tuple(Settings.model_fields),
}
"""The settings that each stage reads: what is logged with its run and goes into its key."""

_PLACES = set(DataSettings.model_fields) - {"symbol", "market", "source"}

_ELSEWHERE = {"source", "work"}
_WORKERS = {"workers", "scheduler"}

UNREAD: Mapping[str, dict[str, set[str]]] = {
    "simulate": {"data": _PLACES - {"archives"}},
    "download": {"data": _PLACES - {"archives"}},
    "etl": {"data": {"archives", "labels"} | _ELSEWHERE, "etl": _WORKERS},
    "import_bars": {"data": {"archives", "labels"} | _ELSEWHERE, "etl": _WORKERS},
    "label": {
        "data": {"archives", "bars"} | _ELSEWHERE,
        "etl": set(EtlSettings.model_fields) - {"max_bridge_minutes"},
    },
    "optimize": {"window": {"stride"}, "split": {"folds"}, "train": {"epochs"}},
    "train": {"split": {"folds"}},
    "audit": {"window": {"stride"}, "train": {"epochs"}},
    "register": {
        "data": _PLACES | {"source"},
        "etl": _WORKERS,
        "train": {"device", "threads"},
        "optimize": {"storage"},
        "registry": {"alias"},
    },
    "evaluate": {
        "split": {"folds", "validation_fraction"},
        "train": set(TrainSettings.model_fields) - {"batch_size", "device"},
        "audit": set(AuditSettings.model_fields) - {"stride"},
        "data": _PLACES,
    },
    "backtest": {"data": _PLACES | {"source"}, "etl": _WORKERS},
    "gates": {
        "etl": set(EtlSettings.model_fields) - {"max_bridge_minutes"},
        "live": set(LiveSettings.model_fields) - {"exchange"},
    },
    "leak_audit": {
        "etl": _WORKERS,
        "window": {"stride"},
        "train": {"epochs"},
        "audit": {"epochs", "stride"},
    },
}
"""Of those sections, what a stage has its own value for, or no use: it makes nothing new."""


def code_digest() -> str:
    """Digest of the project's own code; any change of it makes every stage new."""
    sources = [path for room in ("quantgod", "steps") for path in (PROJECT / room).rglob("*.py")]
    return tree_digest(PROJECT, sources)


def stage_settings(name: str, settings: Settings) -> dict[str, object]:
    """The settings that a stage reads, as plain values."""
    sections = set(SECTIONS[name])
    return settings.model_dump(mode="json", include=sections, exclude=UNREAD.get(name))


def stage_key(
    name: str, settings: Settings, inputs: Mapping[str, str], upstream: Mapping[str, str]
) -> str:
    """Digest of all that a stage's result depends on.

    Args:
        name: the entry point.
        settings: of which the stage's own sections count.
        inputs: digests of the data it reads, by name.
        upstream: what `upstream_keys` gives for the runs whose results it takes.
    """
    return value_digest(
        [name, stage_settings(name, settings), code_digest(), dict(inputs), dict(upstream)]
    )


def upstream_keys(client: MlflowClient, name: str, upstream: Mapping[str, str]) -> dict[str, str]:
    """What the runs that a stage takes results from, given by stage, add to its own key.

    Of a run that no equal one can stand for, its id; of others their key, as far as they have one.
    Of a run that made data, nothing: its digest is among the stage's inputs, and data that is the
    same is, whatever made it. But a version names all that it is made of.
    """
    counts = [stage for stage in upstream if stage not in DATA_STAGES or name == "register"]
    return {stage: key_of_run(client, stage, upstream[stage]) for stage in counts}


def key_of_run(client: MlflowClient, stage: str, run: str) -> str:
    """What tells a stage's run from those that could not stand for it."""
    return run if stage in UNREPEATABLE else client.get_run(run).data.tags.get(KEY_TAG, run)


def path_digest(path: Path) -> str:
    """A file's content digest; of a folder, a digest of its files' names, sizes and times.

    Links stand for what they lead to.
    """
    if path.is_file():
        return file_digest(path)
    return listing_digest(path, files_below(path))


def listing_digest(folder: Path, files: Iterable[Path]) -> str:
    """Digest of the names (below `folder`), sizes and times of those of `files` that are there."""
    found = [(str(item.relative_to(folder)), item.stat()) for item in files if item.is_file()]
    return value_digest(
        [(name, status.st_size, status.st_mtime_ns) for name, status in sorted(found)]
    )


class NoOutputError(ValueError):
    """A run that has nothing to give, or not what is asked of it."""


def output_of(run_id: str, *needed: str) -> dict[str, str]:
    """What a stage's run gave: `path` (absolute) and `digest` of its data, and what else it names.

    Raises:
        NoOutputError: if there is no such run, it gave nothing, or a name of `needed` is missing.
    """
    try:
        output: dict[str, str] = mlflow.artifacts.load_dict(f"runs:/{run_id}/{OUTPUT_FILE}")
    except MlflowException as error:
        raise NoOutputError(
            f"run {run_id} has nothing to give: it is unknown, did not finish, or its artifacts "
            f"were deleted ({error.message})"
        ) from error
    missing = [name for name in needed if name not in output]
    if missing:
        raise NoOutputError(f"run {run_id} gives no {', '.join(missing)}: it is of another stage")
    if "path" in output:
        output["path"] = str(PROJECT / output["path"])
    return output


def artifacts_of(run_id: str, folder: str, target: Path) -> Path:
    """Fetch a folder that a run has kept into `target`; gives where it lies now."""
    return Path(
        mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=folder, dst_path=str(target)
        )
    )


def finished_run(client: MlflowClient, key: str) -> Run | None:
    """The newest FINISHED run of this key whose result stands as it was left.

    Its data must lie where it was put, unchanged; its version must be registered, its alias must
    point there, and the champion that gates were judged against must still be in place.
    """
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(
        experiments,
        f"tags.`{KEY_TAG}` = '{key}' and attributes.status = 'FINISHED'",
        ViewType.ACTIVE_ONLY,
        10,
        ["attributes.start_time DESC"],
    )
    return next((run for run in runs if is_still_there(client, run)), None)


def is_still_there(client: MlflowClient, run: Run) -> bool:
    """Whether what a finished run gave stands as it was left."""
    try:
        output = output_of(run.info.run_id)
        if "version" in output and not _is_registered(client, output):
            return False
    except (NoOutputError, MlflowException):
        return False  # its artifacts or its version were deleted
    if "path" not in output:
        return True
    path = Path(output["path"])
    return path.exists() and path_digest(path) == output["digest"]


def _is_registered(client: MlflowClient, output: Mapping[str, str]) -> bool:
    name, version = output["name"], output["version"]
    if "champion" in output:
        return _is_in_place(client, output, {version, output["champion"]})
    if "alias" in output:
        return _is_in_place(client, output, {version})
    return str(client.get_model_version(name, version).version) == version


def _is_in_place(client: MlflowClient, output: Mapping[str, str], versions: set[str]) -> bool:
    """Whether the alias points at one of these; judged gates also stand where none was in place."""
    aliases = client.get_registered_model(output["name"]).aliases
    return str(aliases.get(output["alias"], NO_CHAMPION)) in versions
