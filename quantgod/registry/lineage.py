"""Record where a model version comes from: runs, data, code and settings, as one JSON tag.

It is written with the version and never changed. The version's scores and their run follow later in
another tag. Tags are better than a run's file: a version appears with its tags at once, a listing
of versions includes them, and deleting a run does not remove them.
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
    """The runs, data, code and settings behind a version.

    Attributes:
        runs: ids of its runs by stage, including the one that scored it.
        data: digests of the data they read, by name.
        commit: of the code.
        settings: digest of the settings.
    """

    runs: dict[str, str] = {}
    data: dict[str, str] = {}
    commit: str = ""
    settings: str = ""

    def tags(self) -> dict[str, str]:
        """Return the tag that stores it."""
        return {LINEAGE_TAG: _text(self)}


class EvaluationSummary(msgspec.Struct, frozen=True):
    """A version's scores: the evaluating run, and key figures by name."""

    run: str
    figures: dict[str, float] = {}

    def tags(self) -> dict[str, str]:
        """Return the tag that stores it."""
        return {EVALUATION_TAG: _text(self)}


def lineage_of_run(run: StageRun, settings: str) -> Lineage:
    """Return the lineage of the version that `run` registers.

    All ancestors are followed, nearest first: of two runs of a stage the nearer one counts.

    Args:
        run: the registering run.
        settings: digest of the settings stored with the version.
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
    """Return a version's lineage; all empty if it has none.

    Raises:
        BrokenVersionError: if its tags cannot be parsed.
    """
    made = _read(version, LINEAGE_TAG, Lineage) or _of_older(version.tags)
    scored = _read(version, EVALUATION_TAG, EvaluationSummary)
    if scored is None:
        return made
    return msgspec.structs.replace(made, runs={**made.runs, "evaluate": scored.run})


def market_in_words(runs: Iterable[str], settings: Settings) -> str:
    """Return words for a simulated market and its prices; empty for a real market.

    Args:
        runs: the known stages behind the rows.
        settings: that they were made with.
    """
    if "simulate" not in runs and settings.data.source != "simulate":
        return ""
    prices = settings.simulate.prices
    return SIMULATED if prices is None else f"{SIMULATED} on the prices of {prices.name}"


def set_tags(
    client: MlflowClient, version: ModelVersion, tags: Mapping[str, str], instead: str
) -> None:
    """Write tags on a version in order, and remove those of earlier code that they replace.

    Args:
        client: of the store.
        version: as the registry knows it.
        tags: by key.
        instead: prefix of the keys to remove.
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
    """Read the lineage of versions of earlier code: one tag per run and per digest of data."""
    commit, settings = tags.get("commit", ""), tags.get("settings", "")
    return Lineage(_named(tags, "run."), _named(tags, "data."), commit, settings)


def _named(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): tags[key] for key in sorted(tags) if key.startswith(prefix)}


def _text(value: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
