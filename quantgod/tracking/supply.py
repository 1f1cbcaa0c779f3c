"""Supply what a stage was not given: find it, or make it by earlier stages, as `main` does.

Data in its folder is used, with the run that made it, unless that run did not finish or had other
settings. Missing data is made. A search is used if there is one but never made, since stages work
without it. Nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run

from quantgod.archive.plan import find_archives
from quantgod.files import files_below
from quantgod.settings import Settings, command
from quantgod.tracking.keys import DATA_STAGES, finished_run, is_still_there
from quantgod.tracking.pipeline import UPSTREAM, key_of, resolved_config, run_stage
from quantgod.tracking.reads import MADE_BY, beside_labels, unmakeable
from quantgod.tracking.set_aside import search_set_aside
from quantgod.tracking.stage import (
    STAGE_TAG,
    MissingInput,
    data_path,
    input_digests,
    input_paths,
    logged_params,
)

Announce = Callable[[str], None]
Supply = Callable[[Mapping[str, str]], dict[str, str]]

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "label": ("etl",),
    "features": ("etl",),
    "snapshots": ("etl",),
    "optimize": ("label",),
    "train": ("label",),
    "members": ("label",),
    "searches": ("label",),
    "audit": ("label", "train"),
    "register": ("label", "train", "audit"),
}
"""The stages whose results each stage needs; `etl` needs archives of any origin, and what needs
labels also needs the features and snapshots that a network looks at."""

USES_A_SEARCH: Final = frozenset({"train", "audit", "register"})
_TAKEN_AS_THEY_ARE: Final = {"download": "archives", "local": "archives", "imported": "bars"}
"""Sources whose data is never made automatically, and the data that they provide."""

_GIVES: Final = {maker: data for data, makers in MADE_BY.items() for maker in makers}
_UPSTREAM_TAG: Final = "quantgod.upstream."
_ELSEWHERE: Final = ("data.", "etl.workers", "etl.scheduler")
"""Settings about places and workers, which do not affect the content of data."""


def supply(name: str, settings: Settings, config: Path, announce: Announce = print) -> Supply:
    """Return a function that completes the runs given to stage `name`, while its run is active.

    Args:
        name: the stage.
        settings: all settings.
        config: their file; stages that are run read it, or a file with all settings if something
            was changed.
        announce: called for each stage that is run, for data that are taken as they lie there, and
            for a search that is taken or is not.
    """
    return lambda given: _Supplier(settings, config, announce).complete(name, given)


class _Supplier:
    """Finds or makes the runs before a stage; `_found` holds None for data of no known run."""

    def __init__(self, settings: Settings, config: Path, announce: Announce) -> None:
        self._settings, self._config, self._announce = settings, config, announce
        self._client = MlflowClient()
        self._found: dict[str, str | None] = {}

    def complete(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        self._found = {**self._behind(given), **given}
        is_one = self._settings.ensemble is None  # members take searches of their own
        own_search = is_one and "train" not in self._found and "optimize" not in self._found
        needed = self._needed(name)
        wanted = [one for one in (name, *needed) if one in ("features", "snapshots")]
        if why := unmakeable(self._settings, [one for one in wanted if one not in given]):
            raise MissingInput(f"{name}: {why}")
        data = [stage for stage in needed if stage in DATA_STAGES]
        for stage in needed:
            self._ensure(stage)
            if own_search and name in USES_A_SEARCH and stage == data[-1]:
                self._take_a_search()
        known = self._known()
        return {stage: known[stage] for stage in UPSTREAM[name] if stage in known}

    def _needed(self, name: str) -> tuple[str, ...]:
        source = self._settings.data.source
        if source == "imported" and name in ("etl", "label"):
            return ("local" if name == "etl" else source,)
        needs = (source,) if name == "etl" else NEEDS.get(name, ())
        if "label" in needs:
            of_all = self._settings.ensemble is not None
            needs = tuple("members" if of_all and one == "train" else one for one in needs)
            return ("label", *beside_labels(self._settings), *needs[1:])
        return needs

    def _known(self) -> dict[str, str]:
        return {stage: run for stage, run in self._found.items() if run is not None}

    def _behind(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the upstream runs of the given ones, so that all belong to one lineage."""
        tags = [self._client.get_run(run).data.tags for run in given.values()]
        return {
            key.removeprefix(_UPSTREAM_TAG): run
            for found in tags
            for key, run in found.items()
            if key.startswith(_UPSTREAM_TAG)
        }

    def _ensure(self, stage: str) -> None:
        if stage in self._found or self._lies_there(stage):
            return
        if stage in _TAKEN_AS_THEY_ARE:
            raise MissingInput(_missing(stage, self._settings))
        if stage == "simulate" and self._has_others_archives():
            raise MissingInput(_unasked(self._settings))
        for before in self._needed(stage):
            self._ensure(before)
        config = resolved_config(self._settings, self._config)
        self._announce(stage)
        run, was_there = run_stage(stage, self._settings, config, self._known(), fresh=False)
        self._found[stage] = run.info.run_id
        if was_there:
            self._announce(f"{stage}: run {run.info.run_id} is taken")

    def _lies_there(self, stage: str) -> bool:
        """Return whether a stage's data exists and is complete, as far as runs show."""
        data = _TAKEN_AS_THEY_ARE.get(stage) or _GIVES.get(stage)
        if data is None or not is_there(data, self._settings):
            return False
        maker = self._newest_maker(data)
        if maker is None:
            self._found[stage] = None
            self._announce(f"{self._lying(data)} are taken, made by no known run")
            return True
        name = maker.data.tags[STAGE_TAG]
        whole = maker.info.status == "FINISHED" and not _differs(maker, name, self._settings)
        if not whole and stage not in _TAKEN_AS_THEY_ARE:
            return False
        is_unchanged, run = is_still_there(self._client, maker), maker.info.run_id
        self._found[name] = run if is_unchanged else None
        made = f"made by {name} run {run}" if is_unchanged else f"changed since {name} run {run}"
        self._announce(f"{self._lying(data)} are taken, {made}")
        return True

    def _lying(self, data: str) -> str:
        """Return data and their place in words."""
        return f"{data} at {data_path(data, self._settings)}"

    def _has_others_archives(self) -> bool:
        """Return whether the archive folder has files that no known run has simulated."""
        folder = self._settings.data.archives
        if not folder.is_dir() or not any(files_below(folder)):
            return False
        experiments = [one.experiment_id for one in self._client.search_experiments()]
        here = f"tags.`{STAGE_TAG}` = 'simulate' and params.`data.archives` = '{folder}'"
        return not self._client.search_runs(experiments, here, max_results=1)

    def _newest_maker(self, data: str) -> Run | None:
        """Return the newest run that should have written this data to the settings' path."""
        series = self._settings.data.model_dump(mode="json", include={data, "symbol", "market"})
        here = " and ".join(f"params.`data.{key}` = '{value}'" for key, value in series.items())
        experiments = [one.experiment_id for one in self._client.search_experiments()]
        runs = [
            run
            for stage in MADE_BY[data]
            for run in self._client.search_runs(
                experiments,
                f"tags.`{STAGE_TAG}` = '{stage}' and {here}",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
        ]
        return max(runs, key=lambda run: run.info.start_time, default=None)

    def _take_a_search(self) -> None:
        settings, known = self._settings, self._known()
        run = finished_run(self._client, key_of(self._client, "optimize", settings, known))
        if run is not None:
            self._found["optimize"] = run.info.run_id
            self._announce(f"optimize: what run {run.info.run_id} has found is taken")
            return
        inputs = input_digests(input_paths("optimize", settings, known), settings)
        if (told := search_set_aside(self._client, settings, inputs)) is not None:
            self._announce(f"optimize: {told}")


def is_there(data: str, settings: Settings) -> bool:
    """Return whether there is any such data; archives of other series do not count.

    Raises:
        ValueError: if the folder of archives is a file.
    """
    path, own = data_path(data, settings), settings.data
    if data == "archives":
        return path.exists() and bool(find_archives(path, own.market, own.symbol)[0])
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _differs(run: Run, stage: str, settings: Settings) -> bool:
    """Return whether a run had other settings than these that affect its result."""
    asked = logged_params(stage, settings)
    shared = {key for key in asked if not key.startswith(_ELSEWHERE)}
    return any(run.data.params.get(key) != asked[key] for key in shared)


def _unasked(settings: Settings) -> str:
    """Explain why archives are not simulated in a folder, and what to do."""
    data = settings.data
    return (
        f"there are no archives of {data.symbol} ({data.market}) at {data.archives}, and none are "
        "simulated unasked among the files that are there: give --config conf/full.yaml for real "
        f"ones, or call `{command('simulate')}`"
    )


def _missing(source: str, settings: Settings) -> str:
    """Name the missing data and the command that gets it."""
    series = f"{settings.data.symbol} ({settings.data.market})"
    if source == "imported":
        return (
            f"there are no bars of {series} at {settings.data.own_bars}; "
            f"`{command('import_bars')}` takes them in"
        )
    there = f"there are no archives of {series} at {settings.data.archives}"
    if source == "local":
        return f"{there}, where `data.source: {settings.data.source}` has them"
    days = f"{settings.download.first_day} to {settings.download.last_day}"
    return (
        f"{there}; `{command('download')}` gets those of {days}, about a "
        "gigabyte a day before compression, and nothing is downloaded unasked"
    )
