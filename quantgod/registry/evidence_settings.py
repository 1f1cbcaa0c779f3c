"""Check whether a run used the settings and the code that a version was made with.

A run's parameters are the settings it was given, not those chosen by a search. Only values are
compared, not the place of a settings file or the machine of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mlflow.entities import Run

from quantgod.settings import DataSettings, Settings
from quantgod.tracking.stage import CODE_TAG, STAGE_TAG, logged_params

MACHINE: Final = frozenset(
    {"etl.scheduler", "etl.workers", "train.device", "train.threads", "data.source"}
    | {f"data.{name}" for name in DataSettings.model_fields.keys() - {"symbol", "market"}}
)
"""Settings of where a run took place, which do not affect its result."""

EARLIER: Final = {"members": "{}", "ensemble": "None"}
"""What runs of earlier code do not say, since there were no ensembles."""


def made_otherwise(run: Run, settings: Settings) -> Iterator[str]:
    """Yield the settings read by a run's stage in which the run differs."""
    stage, came = _stage(run), EARLIER | run.data.params
    asked = logged_params(stage, settings)
    sections = {key.partition(".")[0] for key in asked}
    # Names without a dot are MLflow's: parameters of the command, such as the settings file's path.
    named = {key for key in came if "." in key and key.partition(".")[0] in sections}
    for key in sorted((asked.keys() | named) - MACHINE):
        # Bounds belong to the verdict: an evaluation only shows them beside its figures.
        if came.get(key) != asked.get(key) and not key.startswith("gates."):
            yield (
                f"the {stage} was made with {key} {came.get(key)}, {asked.get(key)} was expected, "
                "as the settings say"
            )


def other_code(run: Run, made: Iterable[Run]) -> Iterator[str]:
    """Yield if a run used other code than the runs that made the version, as far as is known."""
    came = run.data.tags.get(CODE_TAG)
    for own in made:
        wanted = own.data.tags.get(CODE_TAG)
        if wanted not in (None, came):
            yield (
                f"the {_stage(run)} is of code {came}, {wanted} was expected, of which its "
                f"{_stage(own)} run is"
            )


def _stage(run: Run) -> str:
    return str(run.data.tags.get(STAGE_TAG))
