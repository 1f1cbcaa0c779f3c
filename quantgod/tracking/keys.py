"""Compute a stage's key, and find the finished run that makes a new one unnecessary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.utils.uri import append_to_uri_path

from quantgod.files import file_digest, files_below, value_digest
from quantgod.settings import (
    AuditSettings,
    DataSettings,
    EtlSettings,
    ForecastSettings,
    LiveSettings,
    Settings,
    TrainSettings,
)
from quantgod.tracking.store import PROJECT

KEY_TAG = "quantgod.key"
OUTPUT_FILE = "output.json"
NO_CHAMPION = "none"
UNREPEATABLE = frozenset({"optimize", "register"})
"""Stages whose repetition gives another result: a search has grown, a version is a new one."""

DATA_STAGES = frozenset(
    {"simulate", "download", "candles", "etl", "import_bars", "label", "features", "snapshots"}
)
"""Stages that make data; a digest of the data is taken wherever it is read."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "simulate": ("data", "simulate"),
    "download": ("data", "download"),
    "candles": ("data", "download", "candles", "etl"),
    "forecast": ("candles", "forecast", "train"),
    "predict": ("candles", "forecast"),
    "forecast_power": ("candles", "forecast", "train", "forecast_power"),
    "etl": ("data", "etl"),
    "import_bars": ("data", "etl"),
    "label": ("data", "label", "etl"),
    "features": ("data", "etl"),
    "snapshots": ("data", "etl", "snapshots"),
    "optimize": ("window", "split", "model", "train", "optimize"),
    "train": ("window", "split", "model", "train"),
    "members": ("window", "split", "model", "train", "audit", "members"),
    "searches": ("window", "split", "model", "train", "optimize", "members"),
    "audit": ("label", "window", "split", "model", "train", "audit", "members", "ensemble"),
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
        "members",
        "ensemble",
        "registry",
        "evaluate",
        "backtest",
        "leak_audit",
        "gates",
    ),
    "evaluate": ("data", "label", "split", "train", "audit", "evaluate", "gates"),
    "backtest": ("data", "etl", "label", "backtest"),
    "compare": ("data", "etl", "label", "backtest"),
    "leak_audit": (
        "etl",
        "label",
        "window",
        "split",
        "model",
        "train",
        "members",
        "ensemble",
        "audit",
        "leak_audit",
    ),
    "gates": ("etl", "label", "registry", "evaluate", "gates", "live"),
    "promote": ("registry", "gates"),
    "power": tuple(Settings.model_fields),
    "power_curve": tuple(Settings.model_fields),
    "intervals": (),
    "zoo_power": (
        "data",
        "simulate",
        "etl",
        "snapshots",
        "label",
        "window",
        "split",
        "model",
        "train",
        "gates",
        "zoo",
    ),
    "live": ("data", "etl", "registry", "live"),
    "collect": ("etl", "live"),
    "main": tuple(Settings.model_fields),
    "change": tuple(Settings.model_fields),
}
"""The settings that each stage reads, which are logged with its run and go into its key."""

_PLACES = set(DataSettings.model_fields) - {"symbol", "market", "source"}

_ELSEWHERE = {"source", "work"}
_WORKERS = {"workers", "scheduler"}
_OF_FOLDS = {"out_of_fold", *_WORKERS}
"""Settings of `train` that say where and when folds are trained, and not what comes of them."""
_IN_USE = {"ledger", "watch"}
"""Settings of `forecast` that say what is done with a version, and not what it is."""
_ASKED = {"null_markets", "planted_markets", "planted_passes", *_WORKERS}
"""Settings of `power` that say how many markets are made and where, and not what they are."""
_OF_SERIES = {"null_series", "momentum_series", "clusters_series", "found_in", "first_seed"}
"""The same of `forecast_power`."""
_CHOSEN = {"kinds", "networks", "planted_markets", "null_markets", "first_seed", "workers"}

UNREAD: Mapping[str, dict[str, set[str]]] = {
    "simulate": {"data": _PLACES - {"archives"}},
    "download": {"data": _PLACES - {"archives"}},
    "candles": {
        "data": set(DataSettings.model_fields) - {"bars"},
        "download": {"base_url", "first_day", "last_day"},
        "etl": set(EtlSettings.model_fields) - {"limits"},
    },
    "forecast": {"forecast": {"workers", *_IN_USE}, "train": _OF_FOLDS},
    "predict": {"forecast": set(ForecastSettings.model_fields) - {"name", *_IN_USE}},
    "forecast_power": {
        "candles": {"folder", "source"},
        "forecast": {"workers", *_IN_USE},
        "train": _OF_FOLDS,
        "forecast_power": _OF_SERIES | _WORKERS,
    },
    "etl": {"data": {"archives", "labels", "features", "snapshots"} | _ELSEWHERE, "etl": _WORKERS},
    "import_bars": {
        "data": {"archives", "labels", "features", "snapshots"} | _ELSEWHERE,
        "etl": _WORKERS,
    },
    "label": {
        "data": {"archives", "bars", "features", "snapshots"} | _ELSEWHERE,
        "etl": set(EtlSettings.model_fields) - {"max_bridge_minutes"},
    },
    "features": {
        "data": {"archives", "bars", "labels", "snapshots"} | _ELSEWHERE,
        "etl": set(EtlSettings.model_fields) - {"max_bridge_minutes"},
    },
    "snapshots": {
        "data": {"archives", "bars", "labels", "features"} | _ELSEWHERE,
        "etl": _WORKERS,
    },
    "optimize": {"window": {"stride"}, "split": {"folds"}, "train": {"epochs"} | _OF_FOLDS},
    "train": {"split": {"folds"}, "train": _WORKERS},
    "members": {"train": _WORKERS},
    "searches": {"train": _WORKERS},
    "audit": {"window": {"stride"}, "train": {"epochs"} | _OF_FOLDS},
    "register": {
        "data": _PLACES | {"source"},
        "etl": _WORKERS,
        "train": {"device", "threads"} | _OF_FOLDS,
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
    "compare": {"data": _PLACES | {"source"}, "etl": _WORKERS},
    "gates": {
        "etl": set(EtlSettings.model_fields) - {"max_bridge_minutes"},
        "live": set(LiveSettings.model_fields) - {"exchange"},
    },
    "power_curve": {"power": _ASKED},
    "zoo_power": {
        "data": _PLACES | {"source"},
        "etl": _WORKERS,
        "train": _OF_FOLDS,
        "zoo": _CHOSEN,
    },
    "leak_audit": {
        "etl": _WORKERS,
        "window": {"stride"},
        "train": {"epochs"} | _OF_FOLDS,
        "audit": {"epochs", "stride"},
    },
}
"""Settings of those sections that do not affect a stage's result."""

OUT_OF_FOLD: Mapping[str, set[str]] = {
    "split": {"folds"},
    "audit": {"stride", "epochs", "stopping_fraction"},
}
"""What `train` reads besides, where it makes out-of-fold rows."""


def code_digest() -> str:
    """Return the digest of the project's code; any change of it makes every stage new."""
    rooms = [PROJECT / room for room in ("quantgod", "steps")]
    sources = [source for room in rooms if room.is_dir() for source in _sources(room)]
    return value_digest(
        {path.removeprefix(f"{PROJECT}/"): _digest(path, at) for path, at in sources}
    )


def _sources(folder: str | Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the sources below a folder, each with its size and time of change."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sources(entry.path)
            elif entry.name.endswith(".py"):
                yield entry.path, (entry.stat().st_size, entry.stat().st_mtime_ns)


@cache
def _digest(source: str, _changed: tuple[int, int]) -> str:
    """Return a source's digest; hundreds are asked for twice a stage, and few ever change."""
    return file_digest(Path(source))


def stage_settings(name: str, settings: Settings) -> dict[str, object]:
    """Return the settings that a stage reads, as plain values."""
    sections = set(SECTIONS[name])
    read = settings.model_dump(mode="json", include=sections, exclude=UNREAD.get(name))
    if name == "train" and settings.train.out_of_fold:
        more = settings.model_dump(mode="json", include=dict(OUT_OF_FOLD))
        read |= {section: read.get(section, {}) | values for section, values in more.items()}
    return read


def stage_key(
    name: str, settings: Settings, inputs: Mapping[str, str], upstream: Mapping[str, str]
) -> str:
    """Return the digest of all that a stage's result depends on.

    Args:
        name: the entry point.
        settings: all; only the stage's sections count.
        inputs: digests of the data it reads, by name.
        upstream: result of `upstream_keys` for the runs whose results it takes.
    """
    return value_digest(
        [name, stage_settings(name, settings), code_digest(), dict(inputs), dict(upstream)]
    )


def upstream_keys(client: MlflowClient, name: str, upstream: Mapping[str, str]) -> dict[str, str]:
    """Return what the upstream runs, given by stage, contribute to a stage's key.

    An unrepeatable run contributes its id, others their key if they have one. A run that made data
    contributes nothing, because the data's digest is among the stage's inputs, and equal data is
    equal whatever made it. A version is an exception: it names all that it is made of.
    """
    counts = [stage for stage in upstream if stage not in DATA_STAGES or name == "register"]
    return {stage: key_of_run(client, stage, upstream[stage]) for stage in counts}


def key_of_run(client: MlflowClient, stage: str, run: str) -> str:
    """Return what identifies the result of a stage's run: its id or its key."""
    return run if stage in UNREPEATABLE else client.get_run(run).data.tags.get(KEY_TAG, run)


def path_digest(path: Path) -> str:
    """Return a file's content digest, or a digest of a folder's file names, sizes and times.

    Links are followed.
    """
    if path.is_file():
        return file_digest(path)
    return listing_digest(path, files_below(path))


def listing_digest(folder: Path, files: Iterable[Path]) -> str:
    """Return the digest of the names (below `folder`), sizes and times of existing `files`."""
    found = [(str(item.relative_to(folder)), item.stat()) for item in files if item.is_file()]
    return value_digest(
        [(name, status.st_size, status.st_mtime_ns) for name, status in sorted(found)]
    )


class NoOutputError(ValueError):
    """A run has no output, or not the requested one."""


def output_of(run: str | Run, *needed: str) -> dict[str, str]:
    """Return a stage run's output: `path` (absolute) and `digest` of its data, and named values.

    Args:
        run: the run, or its id.
        needed: names that it must have.

    Raises:
        NoOutputError: if there is no such run, it has no output, or a name of `needed` is missing.
    """
    run_id = run if isinstance(run, str) else run.info.run_id
    try:
        output: dict[str, str] = mlflow.artifacts.load_dict(artifact_uri(run, OUTPUT_FILE))
    except (MlflowException, OSError) as error:
        raise NoOutputError(
            f"run {run_id} has nothing to give: it is unknown, did not finish, or its artifacts "
            f"were deleted ({error})"
        ) from error
    missing = [name for name in needed if name not in output]
    if missing:
        raise NoOutputError(f"run {run_id} gives no {', '.join(missing)}: it is of another stage")
    if "path" in output:
        output["path"] = str(PROJECT / output["path"])
    return output


def artifact_uri(run: str | Run, path: str) -> str:
    """Return where a run, given itself or by its id, keeps an artifact.

    Of `runs:/ID/PATH` MLflow asks the store three times, because PATH might be a logged model.
    """
    found = MlflowClient().get_run(run) if isinstance(run, str) else run
    return str(append_to_uri_path(found.info.artifact_uri, path))  # type: ignore[no-untyped-call]


def artifacts_of(run_id: str, folder: str, target: Path) -> Path:
    """Download an artifact folder of a run into `target`, and return its path."""
    uri = artifact_uri(run_id, folder)
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(target)))


def finished_run(client: MlflowClient, key: str) -> Run | None:
    """Return the newest FINISHED run of this key whose result is still there, unchanged.

    Its data must be in its place, unchanged; its version must be registered, its alias must point
    there, and the champion that gates were judged against must still be the champion.
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
    """Return whether a finished run's output is still there, unchanged."""
    try:
        output = output_of(run)
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
    """Return whether the alias points at one of these; `NO_CHAMPION` stands for no alias."""
    aliases = client.get_registered_model(output["name"]).aliases
    return str(aliases.get(output["alias"], NO_CHAMPION)) in versions
