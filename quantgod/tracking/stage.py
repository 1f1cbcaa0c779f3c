"""Run a stage of the pipeline as an MLflow run, which is closed whatever happens."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.exceptions import MlflowException
from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from quantgod.archive.plan import find_archives
from quantgod.files import write_json
from quantgod.settings import DataSettings, Settings, command, without_passwords
from quantgod.simulation.price_file import prices_file
from quantgod.tracking.equal_runs import KEEPS_WORK, alone
from quantgod.tracking.keys import (
    KEY_TAG,
    OUTPUT_FILE,
    NoOutputError,
    code_digest,
    listing_digest,
    output_of,
    path_digest,
    stage_key,
    stage_settings,
    upstream_keys,
)
from quantgod.tracking.machine import machine
from quantgod.tracking.orphans import PROCESS_TAG, close_orphans, process_tag
from quantgod.tracking.outbox import MetricBuffer, Outbox, UntrackedWarning, deliver_left_over
from quantgod.tracking.reads import MADE_BY, READS_IF_THERE, reads
from quantgod.tracking.store import NOTE_TAG, PROJECT, SESSIONS, beside, connect, in_project

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ERROR_TAG = "quantgod.error"
HEADLINE_TAG = "quantgod.headline"
STAGE_TAG = "quantgod.stage"
MEMBER_TAG = "quantgod.member"
CODE_TAG = "quantgod.code"
MACHINE_TAG = "quantgod.machine"

ENDLESS = frozenset({"live", "collect"})
"""Stages that run until they are stopped."""

UNCOMPARED = ENDLESS | {"predict"}
"""Stages in use, whose runs are not compared."""

OF_CANDLES = frozenset({"candles", "forecast", "predict"})
"""Stages whose data are candles of coins."""

DIGEST_CHARACTERS = 32  # MLflow stores at most 36 of a dataset's digest
TAG_CHARACTERS = 5_000
WORKPLACE_CHARACTERS = 16


class MissingInput(ValueError):
    """Data that a stage reads is missing."""


@dataclass
class StageRun:
    """The interface of a stage to its run. Artifacts stay in the outbox until the stage ends."""

    name: str
    run_id: str
    settings: Settings
    client: MlflowClient
    outbox: Outbox
    metrics: MetricBuffer
    upstream: Mapping[str, str]
    artifact_uri: str
    key: str = ""
    inputs: dict[str, Path] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)

    def figure(self, name: str, figure: Figure) -> None:
        """Store a figure as `figures/NAME.png`."""
        target = self.outbox.artifacts / "figures" / f"{name}.png"
        target.parent.mkdir(exist_ok=True)
        figure.savefig(target, dpi=120, bbox_inches="tight")

    def param(self, name: str) -> Callable[[object], None]:
        """Return a function that logs a parameter later; it is lost if the store is away."""

        def log(value: object) -> None:
            with suppress(MlflowException):
                self.client.log_param(self.run_id, name, value)

        return log

    def json(self, name: str, value: Any) -> None:
        """Store a value as `NAME.json`."""
        write_json(self.outbox.artifacts / f"{name}.json", value)

    def folder(self, name: str) -> Path:
        """Return a folder of this run's artifacts, to be filled."""
        folder = self.outbox.artifacts / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def needed(self, name: str) -> str:
        """Return the id of the upstream run of stage `name`.

        Raises:
            MissingInput: if it was not given.
        """
        if name not in self.upstream:
            raise MissingInput(f"{self.name} needs a run of {name}: give --{name}-run")
        return self.upstream[name]

    def workplace(self) -> Path:
        """Return a folder that survives a kill: an equal stage finds it when it starts again.

        It is removed when the stage finishes, so that a new run starts from nothing. Only a
        search's study is kept elsewhere, and grows.
        """
        folder = self.settings.data.work / self.name / self.key[:WORKPLACE_CHARACTERS]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def lasting_place(self) -> Path:
        """Return a folder like `workplace`, but one that stays: its results grow run by run.

        The stage's key must not depend on how much is asked for (`keys.UNREAD`).
        """
        folder = (
            self.settings.data.work / "lasting" / f"{self.name}-{self.key[:WORKPLACE_CHARACTERS]}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a folder that is removed after the block."""
        with tempfile.TemporaryDirectory(prefix="quantgod-") as folder:
            yield Path(folder)

    def output(self, path: Path | None = None, **values: str) -> None:
        """Set the output for later stages: data at `path`, and named values."""
        if path is not None:
            self.places.append(str(path))
            values |= {"path": in_project(path), "digest": path_digest(path)}
        write_json(self.outbox.artifacts / OUTPUT_FILE, values)

    def shows(self, artifact: str) -> None:
        """Name an artifact, by its path in the run, that users should look at."""
        self.places.append(f"{self.artifact_uri.removeprefix('file://')}/{artifact}")

    def headline(self, text: str, more: str = "") -> None:
        """Set the stage's key figures in one line; with `more` they become its description."""
        self.tags[HEADLINE_TAG] = text
        self.tags[NOTE_TAG] = f"{text}\n\n{more}".strip()


@contextmanager
def stage(
    name: str,
    settings: Settings,
    upstream: Mapping[str, str | None] | None = None,
    supply: Callable[[Mapping[str, str]], Mapping[str, str]] = dict,
) -> Iterator[StageRun]:
    """Run a stage: join the run of `mlflow run`, or open one; close it with its outcome.

    Args:
        name: the entry point.
        settings: all; the stage's own sections are logged.
        upstream: ids of the runs whose results it takes, by stage; if one is None or empty, the
            data is where the settings say.
        supply: adds missing runs to the given ones, by finding or making them.

    Raises:
        ValueError: naming a setting of a folder where a file is.
        EqualRunError: if an equal run of a stage that keeps checkpoints is in progress.
    """
    _check_folders(settings)
    client = connect(settings.tracking)
    outbox_folder = PROJECT / settings.tracking.outbox
    deliver_left_over(client, outbox_folder)
    active = _open_run(client, name)
    member = active.data.tags.get(MEMBER_TAG, "")
    close_orphans(client, active.info.experiment_id)
    run_id = active.info.run_id
    outbox = Outbox(outbox_folder, run_id)
    metrics = MetricBuffer(client, outbox, settings.tracking.flush_seconds)
    runs: Mapping[str, str] = {label: run for label, run in (upstream or {}).items() if run}
    run = StageRun(name, run_id, settings, client, outbox, metrics, runs, active.info.artifact_uri)
    status = "KILLED"
    try:
        mlflow.set_tag(MLFLOW_RUN_NAME, run_name(name, settings, member))
        _check_makers(runs, client)
        run.upstream = runs = supply(runs)
        _check_same_bars(runs, client)
        run.inputs = input_paths(name, settings, runs)
        run.key = _describe(run)
        with alone(run.workplace(), run_id) if name in KEEPS_WORK else nullcontext():
            yield run
            status = "FINISHED"
            shutil.rmtree(run.workplace())
    except Exception as error:
        status = "FAILED"
        said = without_passwords(f"{type(error).__name__}: {error}")
        run.tags[ERROR_TAG] = said[:TAG_CHARACTERS]
        trace = without_passwords(traceback.format_exc())
        (outbox.artifacts / "error.txt").write_text(trace, encoding="utf-8")
        raise
    finally:
        _finish(run, status)


def _check_folders(settings: Settings) -> None:
    """Check that no setting of a folder names a file, before any work is done for it."""
    places = {f"data.{name}": path for name, path in settings.data if isinstance(path, Path)}
    places |= {"tracking.outbox": PROJECT / settings.tracking.outbox}
    for name, path in places.items():
        if path.is_file():
            raise ValueError(f"{name}: a folder was expected at {path}, there is a file")


def _open_run(client: MlflowClient, name: str) -> mlflow.ActiveRun:
    """Join the run named by MLflow's variables, or open one; sessions get a separate experiment.

    A session opened by `mlflow run` stays in its experiment.
    """
    if name not in UNCOMPARED or "MLFLOW_RUN_ID" in os.environ:
        return mlflow.start_run()
    compared = os.environ["MLFLOW_EXPERIMENT_ID"]  # MLflow has put it there
    return mlflow.start_run(experiment_id=beside(client, compared, SESSIONS))


@contextmanager
def stage_if_reachable(name: str, settings: Settings) -> Iterator[StageRun | None]:
    """Open a stage that also works without the store: yield None, with a warning, if it is away."""
    with ExitStack() as stack:
        run = None
        try:
            run = stack.enter_context(stage(name, settings))
        except MlflowException as error:
            text = without_passwords(f"no store can be reached, this is not tracked: {error}")
            warnings.warn(text, UntrackedWarning, stacklevel=3)
        yield run


def _finish(run: StageRun, status: str) -> None:
    run.metrics.close()
    run.outbox.close(run.client, status, run.tags)
    with suppress(MlflowException):
        mlflow.end_run(status)  # removes it from MLflow's stack, even without a server


def _check_makers(runs: Mapping[str, str], client: MlflowClient) -> None:
    """Check that each given run is of the stage that it was given as.

    Raises:
        NoOutputError: naming the run, its stage and the expected one.
    """
    for name, run_id in runs.items():
        with suppress(MlflowException):  # an unknown run is told where its output is needed
            made_by = client.get_run(run_id).data.tags.get(STAGE_TAG)
            if made_by not in (None, name):
                raise NoOutputError(f"run {run_id} is of {made_by}; one of {name} was expected")


def _check_same_bars(runs: Mapping[str, str], client: MlflowClient) -> None:
    """Check that features and snapshots are of the labels' bars, as far as their runs say.

    Raises:
        NoOutputError: naming both runs.
    """
    given = [stage for stage in ("label", "features", "snapshots") if stage in runs]
    tags = {stage: client.get_run(runs[stage]).data.tags for stage in given}
    bars = {stage: of.get("quantgod.input.bars") for stage, of in tags.items()}
    known = bars.pop("label", None)
    for stage, of in bars.items():
        if None not in (known, of) and known != of:
            raise NoOutputError(
                f"{stage} of run {runs[stage]} are of bars {of}, and labels of run "
                f"{runs['label']} of bars {known}: `{command(stage)}` makes them anew"
            )


def input_paths(name: str, settings: Settings, upstream: Mapping[str, str]) -> dict[str, Path]:
    """Return the paths of the data that a stage reads, from upstream runs or from the settings.

    Raises:
        MissingInput: naming the data, the expected place, and the stage that makes it.
        ValueError: if `simulate.prices` is not a file.
    """
    paths = {}
    for label in reads(name, settings):
        makers = [upstream[maker] for maker in MADE_BY[label] if maker in upstream]
        path = Path(output_of(makers[0], "path")["path"]) if makers else data_path(label, settings)
        if not path.exists():
            said = " or ".join(f"`{maker}`" for maker in MADE_BY[label])
            raise MissingInput(f"{name} needs {label} at {path}; {said} makes them")
        paths[label] = path
    more = {label: data_path(label, settings) for label in READS_IF_THERE.get(name, ())}
    paths |= {label: path for label, path in more.items() if path.exists()}
    if name == "simulate" and settings.simulate.prices is not None:
        paths["prices"] = prices_file(settings.simulate.prices)
    return paths


def input_digests(paths: Mapping[str, Path], settings: Settings) -> dict[str, str]:
    """Return digests of the data that a stage reads; only archives of the series count."""
    return {
        label: _archives_digest(path, settings.data) if label == "archives" else path_digest(path)
        for label, path in paths.items()
    }


def _archives_digest(folder: Path, data: DataSettings) -> str:
    files, _ = find_archives(folder, data.market, data.symbol)
    return listing_digest(folder, [file.path for file in files])


def data_path(label: str, settings: Settings) -> Path:
    """Return the settings' path of data, or of the journal."""
    return {
        "archives": settings.data.archives,
        "bars": settings.data.own_bars,
        "candles": settings.candles.own_folder,
        "labels": settings.data.own_labels,
        "features": settings.data.own_features,
        "snapshots": settings.data.own_snapshots,
        "journal": settings.live.own_journal,
    }[label]


def _describe(run: StageRun) -> str:
    """Log the stage's inputs, settings and upstream runs, and return its key."""
    name, settings, upstream = run.name, run.settings, run.upstream
    digests = input_digests(run.inputs, settings)
    key = stage_key(name, settings, digests, upstream_keys(run.client, name, upstream))
    tags = {
        STAGE_TAG: name,
        KEY_TAG: key,
        CODE_TAG: code_digest(),
        PROCESS_TAG: process_tag(),
        MACHINE_TAG: machine(),
        "quantgod.commit": get_git_commit(str(PROJECT / "MLproject")) or "not a git checkout",
        "quantgod.settings": settings.digest(),
        **{f"quantgod.upstream.{label}": run_id for label, run_id in upstream.items()},
        **{f"quantgod.input.{label}": digest for label, digest in digests.items()},
    }
    mlflow.set_tags(tags)
    mlflow.log_params(logged_params(name, settings))
    for label, path in run.inputs.items():
        source = LocalArtifactDatasetSource(str(path.resolve()))
        digest = digests[label][:DIGEST_CHARACTERS]
        # MLflow declares `profile` abstract but does not implement it in its own class.
        dataset = MetaDataset(source, name=label, digest=digest)  # type: ignore[abstract]
        mlflow.log_input(dataset, context=label)
    return key


def run_name(name: str, settings: Settings, member: str = "") -> str:
    """Return a readable name for a stage's run: stage, member, symbols, and the day of the run."""
    words = (name, *([member] if member else []), *_symbols(name, settings))
    return f"{' '.join(words)} {dt.datetime.now(dt.UTC):%Y-%m-%d}"


def _symbols(name: str, settings: Settings) -> tuple[str, ...]:
    if name in OF_CANDLES:
        return settings.candles.coins
    return settings.live.symbols if name in ENDLESS else (settings.data.symbol,)


def logged_params(name: str, settings: Settings) -> dict[str, str]:
    """Return the settings that a stage's run logs as parameters, in the store's format."""
    flat = _flat("", stage_settings(name, settings))
    return {key: str(value) for key, value in flat}


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", without_passwords(value)
