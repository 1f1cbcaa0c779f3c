"""Whether a version and its evidence were made by the same settings and code.

A run's parameters are the settings that it was given, not those that a search has put in their
place, so that a version's own runs and its evidence agree on whatever they both read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from mlflow.entities import Run

from quantgod.settings import Settings
from quantgod.tracking.stage import CODE_TAG, STAGE_TAG, logged_params

MACHINE: Final = frozenset({"etl.scheduler", "etl.workers", "train.device", "train.threads"})
"""Settings of where a run was made, not of what it made."""


def made_otherwise(run: Run, made: Iterable[Run]) -> Iterator[str]:
    """Where a run of evidence and the runs that made the version were given other settings."""
    for own in made:
        both = run.data.params.keys() & own.data.params.keys()
        # What has no dot is MLflow's: parameters of the command, such as the settings file's path.
        shared = {key for key in both - MACHINE if "." in key}
        given = {key: own.data.params[key] for key in shared}
        yield from _differences(run, run.data.params, given, f"as its {_stage(own)} run says")


def judged_otherwise(run: Run, settings: Settings) -> Iterator[str]:
    """Where a run of evidence was not made by its own section of the settings at hand."""
    section = f"{_stage(run)}."
    asked = logged_params(_stage(run), settings)
    ours, theirs = (
        {key: value for key, value in params.items() if key.startswith(section)}
        for params in (asked, run.data.params)
    )
    expected = {key: ours.get(key) for key in ours.keys() | theirs.keys()}
    yield from _differences(run, theirs, expected, "as the settings say")


def other_code(run: Run, made: Iterable[Run]) -> Iterator[str]:
    """Where a run was made by other code than those that made the version, as far as these say."""
    came = run.data.tags.get(CODE_TAG)
    for own in made:
        wanted = own.data.tags.get(CODE_TAG)
        if wanted not in (None, came):
            yield (
                f"the {_stage(run)} is of code {came}, {wanted} was expected, of which its "
                f"{_stage(own)} run is"
            )


def _differences(
    run: Run, came: Mapping[str, str], expected: Mapping[str, str | None], whose: str
) -> Iterator[str]:
    for key in sorted(expected):
        if came.get(key) != expected[key]:
            yield (
                f"the {_stage(run)} was made with {key} {came.get(key)}, {expected[key]} was "
                f"expected, {whose}"
            )


def _stage(run: Run) -> str:
    return str(run.data.tags.get(STAGE_TAG))
