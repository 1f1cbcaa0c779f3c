"""Change how the members of the ensemble in place are combined, as a new version of the same rows.

The members stay as they were trained. What they said out of fold is combined, audited, scored and
judged anew, by the settings that the version in place was made with and the change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from quantgod.ensemble.checking import check_ensemble
from quantgod.ensemble.fitting import STACKING, UnknownMemberError
from quantgod.gates import bounds_digest
from quantgod.registry.deployments import Deployments, deployments
from quantgod.registry.ledger_run import LedgerRun
from quantgod.registry.lineage import lineage_of
from quantgod.registry.moving import LedgerWentOnError
from quantgod.registry.own_settings import own_settings
from quantgod.registry.promotion import Grounds, in_words, promote
from quantgod.registry.registered import NoSuchVersionError, VersionError, known_version
from quantgod.settings import (
    EnsembleSettings,
    Settings,
    SettingsError,
    command,
    members_of,
    with_values,
    without_disabled,
)
from quantgod.tracking.keys import code_digest, is_still_there
from quantgod.tracking.stage import CODE_TAG

TAKEN: Final = ("etl", "label", "features", "snapshots", "members")
"""The stages whose runs a changed version takes from the one in place."""

MADE: Final = ("audit", "register", "evaluate", "backtest", "leak_audit", "gates")
"""The stages that depend on how members are combined."""


class ChangeError(VersionError):
    """A change cannot be made of the version in place."""


@dataclass(frozen=True)
class EnsembleChange:
    """What is to be otherwise than in the version in place.

    Attributes:
        weights: by member.
        strategy: of `EnsembleSettings`; None for the same.
        enabled: whether members vote, by name.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    strategy: str | None = None
    enabled: Mapping[str, bool] = field(default_factory=dict)

    def in_words(self) -> str:
        """Return the change in one line.

        >>> EnsembleChange({"cnn": 0.5}, "hedge", {"linear": False}).in_words()
        'strategy hedge; weight of cnn 0.5; linear disabled'
        """
        said = [] if self.strategy is None else [f"strategy {self.strategy}"]
        said += [f"weight of {name} {weight:g}" for name, weight in self.weights.items()]
        said += [f"{name} {'en' if is_on else 'dis'}abled" for name, is_on in self.enabled.items()]
        return "; ".join(said)

    def of(self, own: Settings) -> Settings:
        """Return the settings of a version with this change.

        Raises:
            UnknownMemberError: if it names no member of theirs.
            ChangeError: if they are of a single network, would be as before, or cannot be.
        """
        how, members = own.ensemble, members_of(own)
        if how is None:
            raise ChangeError("the version in place is of a single network, which has no members")
        if others := sorted({*self.weights, *self.enabled} - members.keys()):
            raise UnknownMemberError(
                f"no member {', '.join(others)} (members: {', '.join(members)})"
            )
        try:
            changed = with_values(
                own, {f"ensemble.{key}": to for key, to in self._over(how).items()}
            )
            check_ensemble(changed, members)
        except SettingsError as error:
            raise ChangeError(str(error)) from None
        self._check(own, changed)
        return changed

    def _over(self, how: EnsembleSettings) -> dict[str, object]:
        """Return the settings of the ensemble that are others."""
        disabled = dict.fromkeys(how.disabled)
        for name, is_on in self.enabled.items():
            disabled.pop(name, None) if is_on else disabled.setdefault(name)
        return {
            "weights": {**how.weights, **self.weights},
            "strategy": self.strategy or how.strategy,
            "disabled": list(disabled),
        }

    def _check(self, own: Settings, changed: Settings) -> None:
        """Refuse what would be no change of what is said."""
        if self.weights and changed.ensemble is not None and changed.ensemble.strategy == STACKING:
            raise ChangeError(
                f"{STACKING} fits the weights itself: one that is given has no effect"
            )
        if _effective(changed) == _effective(own):
            raise ChangeError(f"nothing would change: {self.in_words() or 'no change was given'}")


@dataclass(frozen=True)
class PlannedChange:
    """A change of the version in place, before anything was made.

    Attributes:
        asked: the change, with the members that the ledger has disabled: they stay so.
        settings: of the new version.
        runs: of the stages that it takes from the version in place, by name.
        over: the version in place.
        seen: head of the ledger, with which the new version may be put in place.
    """

    asked: EnsembleChange
    settings: Settings
    runs: dict[str, str]
    over: int
    seen: str


def plan_change(
    client: MlflowClient, at_hand: Settings, asked: EnsembleChange, seen: str | None = None
) -> PlannedChange:
    """Return what a change takes from the version in place, and the settings of the new one.

    Args:
        client: of the store.
        at_hand: they name the model, its alias and the store.
        asked: the change.
        seen: head of the ledger that it was decided on; None for what it is now.

    Raises:
        UnknownMemberError: if it names no member.
        ChangeError: if it cannot be made of the version in place.
        LedgerWentOnError: if the ledger has another head than `seen`.
        NoSuchVersionError: if no version is in place.
        NoOwnSettingsError: if its settings are not known.
    """
    name, alias = at_hand.registry.name, at_hand.registry.alias
    found, told = version_in_place(client, name, alias)
    if seen not in (None, told.head):
        raise LedgerWentOnError(f"{name}@{alias}: its ledger went on since it was read")
    number = int(found.version)
    off = dict.fromkeys(LedgerRun(client, name, alias).read().disabled(number), False)
    asked = replace(asked, enabled=off | dict(asked.enabled))
    settings = asked.of(own_settings(found))
    registry = settings.registry.model_copy(update={"name": name, "alias": alias})
    settings = settings.model_copy(update={"registry": registry, "tracking": at_hand.tracking})
    return PlannedChange(asked, settings, _runs_of(client, found), number, told.head)


def deploy_change(
    client: MlflowClient, plan: PlannedChange, version: int, gates_run: str, why: str
) -> str:
    """Put a changed version in place of the one that was changed, and say so in words.

    Raises:
        LedgerWentOnError: if the deployments went on meanwhile.
        VersionError, ConcurrentPromotionError, LedgerError: as `promote`.
    """
    name, alias = plan.settings.registry.name, plan.settings.registry.alias
    grounds = Grounds(why, False, gates_run, bounds_digest(plan.settings.gates))
    done = promote(name, version, alias, grounds, client=client, seen=plan.seen)
    return in_words(name, alias, version, done)


def version_in_place(
    client: MlflowClient, name: str, alias: str
) -> tuple[ModelVersion, Deployments]:
    """Return the version that an alias points at by its ledger, and its history.

    Raises:
        NoSuchVersionError: if there is none.
        ChangeError: if the alias was moved by other means.
    """
    told = deployments(client, name, alias)
    if told.trouble:
        raise ChangeError(f"{told.trouble}: promote or roll back a version first")
    if not told.spans or told.spans[-1].until is not None:
        raise NoSuchVersionError(f"{name}@{alias}: no version is in place")
    return known_version(client, name, int(told.spans[-1].entry.version or 0)), told


def _runs_of(client: MlflowClient, found: ModelVersion) -> dict[str, str]:
    """Return the version's own runs that a change takes.

    Raises:
        ChangeError: if one is gone, its data were changed, or other code has trained the members.
    """
    place, again = f"{found.name} {found.version}", f"`{command('main')}` makes a version anew"
    own = lineage_of(found).runs
    runs: dict[str, str] = {stage: own[stage] for stage in TAKEN if stage in own}
    if "members" not in runs:
        raise ChangeError(f"{place}: it names no run that has trained its members; {again}")
    for stage, run in runs.items():
        if not is_still_there(client, _known(client, place, stage, run)):
            raise ChangeError(
                f"{place}: what its {stage} run {run} made has changed since; {again}"
            )
    if client.get_run(runs["members"]).data.tags.get(CODE_TAG) != code_digest():
        raise ChangeError(
            f"{place}: other code than the present one has trained its members, and the leak audit "
            f"would be of another pipeline than theirs; {again}"
        )
    return runs


def _known(client: MlflowClient, place: str, stage: str, run: str) -> Run:
    try:
        return client.get_run(run)
    except MlflowException as error:
        raise ChangeError(f"{place}: its {stage} run {run} is gone: {error.message}") from None


def _effective(settings: Settings) -> Mapping[str, object]:
    """Return what makes an ensemble's answers: its voting members, each with its weight."""
    voting = without_disabled(settings)
    how = voting.ensemble
    if how is None:
        return {}
    return {
        **how.model_dump(),
        "weights": {one: how.weights.get(one, 1.0) for one in voting.members},
    }
