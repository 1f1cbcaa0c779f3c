"""Say which earlier search is not taken, and why, so that no other network is trained unseen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from quantgod.settings import Settings, command
from quantgod.tracking.keys import code_digest
from quantgod.tracking.stage import CODE_TAG, STAGE_TAG, logged_params

SHOWN: Final = 3
_LABEL_TAG: Final = "quantgod.upstream.label"


def search_set_aside(
    client: MlflowClient, settings: Settings, inputs: Mapping[str, str]
) -> str | None:
    """Return a line on the finished search that comes nearest to the settings; None without one.

    Args:
        client: of the store.
        settings: those that no search of its own has been found for.
        inputs: digests of the data that a search would read, by name.
    """
    asked = logged_params("optimize", settings)
    found = _searches(client, settings)
    runs = [run for run in found if _is_of_series(client, run, settings, inputs)]
    if not runs:
        return None
    run = min(runs, key=lambda one: len(_differences(one, asked)))  # of equals the newest
    changed = [f"{key} was {was} and is {now}" for key, was, now in _differences(run, asked)]
    tags = run.data.tags
    changed += [f"other {name}" for name in inputs if tags.get(_input(name)) != inputs[name]]
    changed += ["other code"] * (tags.get(CODE_TAG) != code_digest())
    why = "; ".join(changed[:SHOWN]) or "its result is no longer there"
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    take = command("train", f"--optimize-run {run.info.run_id}")
    return f"what run {run.info.run_id} has found is not taken: {why}{more}; `{take}` takes it"


def _searches(client: MlflowClient, settings: Settings) -> list[Run]:
    """Return the finished searches of the settings' network, the newest first."""
    experiments = [one.experiment_id for one in client.search_experiments()]
    asked = (
        f"tags.`{STAGE_TAG}` = 'optimize' and attributes.status = 'FINISHED' "
        f"and params.`model.name` = '{settings.model.name}'"
    )
    return list(client.search_runs(experiments, asked, order_by=["attributes.start_time DESC"]))


def _is_of_series(
    client: MlflowClient, run: Run, settings: Settings, inputs: Mapping[str, str]
) -> bool:
    """Return whether a search's labels are these, or by their run of the same symbol and market."""
    label = run.data.tags.get(_LABEL_TAG)
    series = settings.data.symbol, settings.data.market
    with suppress(MlflowException):  # the label run was deleted
        params = {} if label is None else client.get_run(label).data.params
        if (params.get("data.symbol"), params.get("data.market")) == series:
            return True
    return run.data.tags.get(_input("labels")) == inputs["labels"]


def _differences(run: Run, asked: Mapping[str, str]) -> list[tuple[str, str | None, str | None]]:
    had = run.data.params
    keys = sorted(had.keys() | asked.keys())
    return [(key, had.get(key), asked.get(key)) for key in keys if had.get(key) != asked.get(key)]


def _input(name: str) -> str:
    return f"quantgod.input.{name}"
