"""Gather what each section of the page shows, with the functions of the API's routes.

A section that has nothing to show says why in its place, and the others stand as they are.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, get_args

from fastapi import Response

from quantgod.api import answers
from quantgod.api.desk import Desk
from quantgod.api.page.charts import charts
from quantgod.api.page.live import live
from quantgod.api.routes import change, deployments, ensemble, training, versions
from quantgod.settings import command, without_passwords
from quantgod.settings.ensemble import Strategy

Context = dict[str, Any]


def of_ensemble(desk: Desk) -> Context:
    """Return the ensemble in place, its members, and what a form may make of them."""
    return {
        "ensemble": ensemble.status(desk),
        "members": ensemble.models(desk),
        "strategies": get_args(Strategy),
    }


def of_change(desk: Desk) -> Context:
    """Return how far the change of the ensemble is."""
    return {"change": change.status(desk)}


def of_training(desk: Desk) -> Context:
    """Return how far the training is."""
    return {"training": training.status(desk)}


def of_training_form(desk: Desk) -> Context:
    """Return what can be trained, and a key by which a form that is sent twice starts one."""
    return {
        "choices": tuple(desk.settings.members),
        "network": desk.settings.model.name,
        "symbol": desk.settings.data.symbol,
        "key": secrets.token_hex(8),
    }


def of_deployments(desk: Desk) -> Context:
    """Return what was in place, and the head of the ledger that a change has to name."""
    response = Response()
    told = deployments.deployments(desk, response)
    return {"history": told, "seen": response.headers["ETag"].strip('"')}


def of_versions(desk: Desk) -> Context:
    """Return all versions, the newest first."""
    return {"versions": list(reversed(versions.versions(desk)))}


def of_verdict(desk: Desk, version: int) -> Context:
    """Return what the gates said of a version."""
    return {"verdict": versions.gates(desk, version)}


SECTIONS: Final[Mapping[str, Callable[[Desk], Context]]] = {
    "live": live,
    "charts": charts,
    "ensemble": of_ensemble,
    "change": of_change,
    "training": of_training,
    "training_form": of_training_form,
    "deployments": of_deployments,
    "versions": of_versions,
}


class Lacking(NamedTuple):
    """What is missing for anything to run, and commands that make it."""

    said: str
    commands: tuple[str, ...]


def lacking(desk: Desk, versions: Context, deployments: Context) -> Lacking | None:
    """Return what is missing; None if nothing is, or it is not known."""
    if versions.get("versions") == []:
        return Lacking(
            f"No version of {desk.name} is registered yet: there is nothing to run. Each of these "
            "trains one and puts it in place if its gates pass; the first makes its archives too.",
            (f"make demo CONFIG={desk.config}", command("main")),
        )
    history = deployments.get("history")
    if history is not None and history.version is None:
        said = f"No version is in place as {desk.name}@{desk.alias}: promote one below."
        return Lacking(said, ())
    return None


def told(desk: Desk, gather: Callable[[Desk], Context]) -> Context:
    """Return what a section shows; if there is nothing to show, why."""
    try:
        return gather(desk)
    except answers.KNOWN as error:
        return {"absent": without_passwords(str(error))}
