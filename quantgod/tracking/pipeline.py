"""Run the stages of the pipeline, or find their finished runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import mlflow
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import ExecutionException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from quantgod.files import atomic_path
from quantgod.settings import Settings, load_settings
from quantgod.tracking.keys import (
    finished_run,
    output_of,
    stage_key,
    upstream_keys,
)
from quantgod.tracking.reads import beside_labels
from quantgod.tracking.stage import ERROR_TAG, input_digests, input_paths, run_name
from quantgod.tracking.store import PROJECT

UPSTREAM: Final[Mapping[str, tuple[str, ...]]] = {
    "candles": (),
    "simulate": (),
    "download": (),
    "etl": ("simulate", "download"),
    "label": ("etl",),
    "features": ("etl",),
    "snapshots": ("etl",),
    "optimize": ("label", "features", "snapshots"),
    "train": ("label", "features", "snapshots", "optimize"),
    "members": ("label", "features", "snapshots"),
    "searches": ("label", "features", "snapshots"),
    "audit": ("label", "features", "snapshots", "optimize", "train", "members"),
    "register": ("label", "features", "snapshots", "train", "members", "audit"),
    "evaluate": ("label", "features", "snapshots", "audit", "register"),
    "backtest": ("etl", "optimize", "members", "evaluate"),
    "leak_audit": ("etl", "snapshots", "optimize", "train", "members", "audit"),
    "gates": ("label", "features", "snapshots", "register", "evaluate", "backtest", "leak_audit"),
    "promote": ("register", "gates"),
}
"""The stages whose results each stage takes by run id."""

CHAINED: Final = (
    "etl", "label", "optimize", "train", "audit", "register", "evaluate", "backtest", "leak_audit",
    "gates", "promote",
)  # fmt: skip
"""The stages of `main` in order, after the one that gets archives; `features` and `snapshots` come
after `label` where the network looks at them."""


ENTRY_POINTS: Final[Mapping[str, str]] = {"members": "train"}
"""Entry points of stages that are not called as they are."""


class StageFailed(RuntimeError):
    """A stage failed; the message is the stage's own."""


def stages(settings: Settings) -> list[str]:
    """Return the stages of `main` in order; imported bars are used as they are.

    Raises:
        SettingsError: for an unknown network, or one of the book with too short a window.
    """
    chained, more = list(CHAINED), beside_labels(settings)
    if settings.ensemble is not None:  # its members are searched and trained in one stage
        first = chained.index("optimize")
        chained[first : first + 2] = ["members"]
    after = chained.index("label") + 1
    chained[after:after] = more
    if settings.data.source == "imported":
        return [name for name in chained if name != "etl"]
    source = [] if settings.data.source == "local" else [settings.data.source]
    return [*source, *chained]


def run_stage(
    name: str, settings: Settings, config: Path, done: Mapping[str, str], *, fresh: bool
) -> tuple[Run, bool]:
    """Find the finished run of a stage, or run it as a child of the active run.

    Args:
        name: the stage.
        settings: all, as in `config`.
        config: the settings file for the child.
        done: run ids of the earlier stages.
        fresh: make a new run even if an equal one exists.

    Returns:
        The run, and whether it existed already.

    Raises:
        StageFailed: with the stage's own message.
    """
    client = MlflowClient()
    upstream = {stage: done[stage] for stage in UPSTREAM[name] if stage in done}
    found = None if fresh else finished_run(client, key_of(client, name, settings, upstream))
    if found is not None:
        return found, True
    _put_this_python_first()
    parameters = {
        "config": _from_project(config),
        **{f"{up}_run": run for up, run in upstream.items()},
    }
    try:
        submitted = mlflow.projects.run(  # type: ignore[no-untyped-call]
            str(PROJECT),
            entry_point=ENTRY_POINTS.get(name, name),
            parameters=parameters,
            env_manager="local",
            run_name=run_name(name, settings),
        )
    except ExecutionException:
        raise StageFailed(f"{name}: {_message(client)}") from None
    return client.get_run(submitted.run_id), False


class StageRuns(NamedTuple):
    """The runs of several stages by name, and which of them were there already."""

    runs: dict[str, Run]
    found: set[str]

    @property
    def ids(self) -> dict[str, str]:
        """Return the ids of the runs."""
        return {name: run.info.run_id for name, run in self.runs.items()}


def run_stages(
    names: Iterable[str],
    settings: Settings,
    config: Path,
    behind: Mapping[str, str],
    announce: Callable[[str, str], None],
    *,
    fresh: bool = False,
) -> StageRuns:
    """Find the finished runs of stages, or run them one after the other, up to failed gates.

    Args:
        names: in order; `promote` is left out if the gates before it failed.
        settings: all, as in `config`.
        config: the settings file for the children.
        behind: run ids of earlier stages.
        announce: called with each stage and, once it is known that its run was there, with that.
        fresh: make new runs even where equal ones exist.

    Raises:
        StageFailed: with the stage's own message.
    """
    done = StageRuns({}, set())
    for name in names:
        if name == "promote" and failed_gates(done.runs["gates"]):
            break
        announce(name, "")
        earlier = {**behind, **done.ids}
        done.runs[name], found = run_stage(name, settings, config, earlier, fresh=fresh)
        if found:
            done.found.add(name)
            announce(name, f"unchanged since run {done.ids[name]}, skipped")
    return done


def failed_gates(gates: Run) -> str:
    """Return which gates stop the promotion; empty if all passed."""
    return output_of(gates, "failed")["failed"]


def failure_of(run: Run | None) -> str:
    """Return the error message of a stage's run that failed."""
    said = "" if run is None else run.data.tags.get(ERROR_TAG, "")
    return said or "failed before it could say why; see above"


def resolved_config(settings: Settings, config: Path) -> Path:
    """Return the settings file for children: `config`, or a new one if the settings differ.

    Its name contains the settings' digest, so that a child's command can be repeated.
    """
    if load_settings(config) == settings:
        return config
    path = settings.data.work / "settings" / f"{settings.digest()[:16]}.yaml"
    with atomic_path(path) as part:
        part.chmod(0o600)  # a database's URL may hold a password
        part.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    return path


def key_of(client: MlflowClient, name: str, settings: Settings, upstream: Mapping[str, str]) -> str:
    """Return the key of a stage still to run, given the runs before it."""
    inputs = input_digests(input_paths(name, settings, upstream), settings)
    return stage_key(name, settings, inputs, upstream_keys(client, name, upstream))


def _from_project(config: Path) -> str:
    """Return a settings file's path for a child, which runs in the project's folder."""
    return str(config if Path.cwd() == PROJECT else config.resolve())


def _message(client: MlflowClient) -> str:
    """Return the error message of the newest child of the active run."""
    parent = mlflow.active_run()
    if parent is None:
        return "failed"
    children = client.search_runs(
        [parent.info.experiment_id],
        f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}'",
        max_results=1,
        order_by=["attributes.start_time DESC"],
    )
    return failure_of(children[0] if children else None)


def _put_this_python_first() -> None:
    """Make `python` in MLproject's commands the present interpreter."""
    folder = str(Path(sys.executable).parent)
    if os.environ["PATH"].split(os.pathsep)[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, os.environ["PATH"]])
