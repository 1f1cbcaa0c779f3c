"""Where a model version comes from: runs, data, code and settings, as one tag of JSON text.

It is written with the version itself and never changed. What the version scored follows later, with
the run that found it, in a tag of its own. Tags rather than a file of a run: a version appears with
them at once, a listing of versions brings them along, and no deleted run takes them away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from quantgod.registry.registered import BrokenVersionError
from quantgod.settings import Settings

if TYPE_CHECKING:
    from quantgod.tracking.stage import StageRun

LINEAGE_TAG: Final = "lineage"
SIMULATED: Final = "simulated market"
EVALUATION_TAG: Final = "evaluation"
Kept = TypeVar("Kept", bound=msgspec.Struct)
_UPSTREAM: Final = "quantgod.upstream."
_INPUT: Final = "quantgod.input."


class Lineage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version is made of.

    Attributes:
        runs: ids of the runs that it stands on by stage, and of the one that scored it.
        data: digests of the data that they have read, by name.
        commit: of the code.
        settings: digest of the settings that it was made by.
    """

    runs: dict[str, str] = {}
    data: dict[str, str] = {}
    commit: str = ""
    settings: str = ""

    def tags(self) -> dict[str, str]:
        """The tag that keeps it."""
        return {LINEAGE_TAG: _text(self)}


class EvaluationSummary(msgspec.Struct, frozen=True):
    """What a version scored: the run that found it, and its key figures by name."""

    run: str
    figures: dict[str, float] = {}

    def tags(self) -> dict[str, str]:
        """The tag that keeps it."""
        return {EVALUATION_TAG: _text(self)}


def lineage_of_run(run: StageRun, settings: str) -> Lineage:
    """Gather what the version that `run` registers is made of.

    All ancestors are followed, the nearest first: of two runs of a stage the nearer one counts.

    Args:
        run: that registers.
        settings: digest of the settings that are kept with the version.
    """
    runs: dict[str, str] = {}
    data: dict[str, str] = {}
    waiting = {run.name: run.run_id, **run.upstream}
    while waiting:
        name = next(iter(waiting))
        run_id = waiting.pop(name)
        if name in runs:
            continue
        runs[name] = run_id
        tags = run.client.get_run(run_id).data.tags
        data = _named(tags, _INPUT) | data
        for stage, ancestor in _named(tags, _UPSTREAM).items():
            waiting.setdefault(stage, ancestor)
    own = run.client.get_run(run.run_id).data.tags
    return Lineage(runs, data, own["quantgod.commit"], settings)


def lineage_of(version: ModelVersion) -> Lineage:
    """What a version says that it is made of; all empty if it says nothing.

    Raises:
        BrokenVersionError: if its tags are no such text.
    """
    made = _read(version, LINEAGE_TAG, Lineage) or _of_older(version.tags)
    scored = _read(version, EVALUATION_TAG, EvaluationSummary)
    if scored is None:
        return made
    return msgspec.structs.replace(made, runs={**made.runs, "evaluate": scored.run})


def market_in_words(runs: Iterable[str], settings: Settings) -> str:
    """Say that rows are of a simulated market, and on whose prices; of a real one, nothing.

    Args:
        runs: the stages whose runs the rows stand on, as far as they are known.
        settings: by which they were made.
    """
    if "simulate" not in runs and settings.data.source != "simulate":
        return ""
    prices = settings.simulate.prices
    return SIMULATED if prices is None else f"{SIMULATED} on the prices of {prices.name}"


def set_tags(
    client: MlflowClient, version: ModelVersion, tags: Mapping[str, str], instead: str
) -> None:
    """Write tags on a version in their order, and take off those that earlier code wrote instead.

    Args:
        client: of the store.
        version: as the registry knows it.
        tags: by key.
        instead: how the keys begin that earlier versions carry in their place.
    """
    for key, value in tags.items():
        client.set_model_version_tag(version.name, version.version, key, value)
    for key in version.tags:
        if key.startswith(instead):
            client.delete_model_version_tag(version.name, version.version, key)


def _read(version: ModelVersion, tag: str, kind: type[Kept]) -> Kept | None:
    try:
        return msgspec.json.decode(version.tags[tag], type=kind) if tag in version.tags else None
    except msgspec.MsgspecError as error:
        raise BrokenVersionError(
            f"{version.name} {version.version}: its tag {tag} was changed: {error}"
        ) from None


def _of_older(tags: Mapping[str, str]) -> Lineage:
    """Read what versions of earlier code carry: a tag for each run and each digest of data."""
    commit, settings = tags.get("commit", ""), tags.get("settings", "")
    return Lineage(_named(tags, "run."), _named(tags, "data."), commit, settings)


def _named(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): tags[key] for key in sorted(tags) if key.startswith(prefix)}


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
